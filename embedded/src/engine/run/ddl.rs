//! Namespaces and tables: CREATE, ALTER, DROP. Runs under the commit lock; the new catalog is published after its commit.

use std::sync::{Arc, OnceLock};

use sqlparser::ast::{
    AlterTableOperation, ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, SqlOption,
    TableConstraint, UnaryOperator, Value,
};

use crate::engine::{
    DataType, SqlError, TableId,
    catalog::{
        Access, Catalog, DEFAULT_NAMESPACE, DefaultValue, Namespace, RESERVED_COLUMNS, SYSTEM_NAMESPACES,
        Table, TableColumn, TableKind,
    },
    convert,
    error::SqlResult,
    files,
    sql::{dml, names, statement::Statement, types},
    storage::{Writer, meta, sql_error},
    time,
};

/// A table that is no longer what it was.
pub(super) struct Changed {
    pub(super) table: TableId,
    pub(super) dropped: bool,
}

/// What a DDL statement did.
pub(super) struct Outcome {
    pub(super) message: String,
    /// `None`: nothing was to do.
    pub(super) catalog: Option<Catalog>,
    pub(super) changed: Vec<Changed>,
}

impl Outcome {
    fn nothing(message: String) -> Self {
        Self { message, catalog: None, changed: Vec::new() }
    }

    fn new(message: String, mut catalog: Catalog) -> Self {
        catalog.version += 1;
        Self { message, catalog: Some(catalog), changed: Vec::new() }
    }
}

/// Applies the statement to the data and to a copy of the catalog. The caller has begun a transaction and commits it.
pub(super) fn apply(
    writer: &Writer,
    catalog: &Catalog,
    statement: &Statement,
    namespace: &str,
) -> SqlResult<Outcome> {
    match statement {
        Statement::CreateNamespace { name, if_not_exists } => {
            create_namespace(writer, catalog, name, *if_not_exists)
        }
        Statement::DropNamespace { name, if_exists } => drop_namespace(writer, catalog, name, *if_exists),
        Statement::CreateTable { prefix, table } => {
            create_table(writer, catalog, namespace, prefix.as_deref(), table)
        }
        Statement::DropTable { names, if_exists } => match &names[..] {
            [name] => {
                let (namespace, name) = names::table(name, namespace)?;
                drop_table(writer, catalog, &namespace, &name, *if_exists)
            }
            _ => Err(SqlError::unsupported("DROP TABLE of several tables")),
        },
        Statement::AlterTable { name, if_exists: false, operations } => {
            let (namespace, name) = names::table(name, namespace)?;
            alter_table(writer, catalog, &namespace, &name, operations)
        }
        _ => Err(SqlError::unsupported("this statement")),
    }
}

fn create_namespace(
    writer: &Writer,
    catalog: &Catalog,
    name: &str,
    if_not_exists: bool,
) -> SqlResult<Outcome> {
    names::check("namespace", name)?;
    if SYSTEM_NAMESPACES.contains(&name) {
        return Err(SqlError::execution(format!("Invalid operation: Namespace '{name}' is reserved")));
    }
    if catalog.namespaces.contains_key(name) {
        let message = format!("Namespace '{name}' already exists");
        return if if_not_exists {
            Ok(Outcome::nothing(message))
        } else {
            Err(SqlError::execution(format!("Already exists: {message}")))
        };
    }
    let created_at = time::now_micros();
    meta::add_namespace(&writer.db.connection, name, created_at).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    catalog.namespaces.insert(name.into(), Namespace { created_at, ..Namespace::default() });
    Ok(Outcome::new(format!("Namespace '{name}' created successfully"), catalog))
}

/// Drops the namespace's tables too, with or without CASCADE (recorded in `wire/sql_surface.jsonl`).
fn drop_namespace(writer: &Writer, catalog: &Catalog, name: &str, if_exists: bool) -> SqlResult<Outcome> {
    if name == DEFAULT_NAMESPACE || SYSTEM_NAMESPACES.contains(&name) {
        return Err(SqlError::execution(format!("Invalid operation: Namespace '{name}' can not be dropped")));
    }
    let Some(namespace) = catalog.namespaces.get(name) else {
        return if if_exists {
            Ok(Outcome::nothing(format!("Namespace '{name}' does not exist (skipped)")))
        } else {
            Err(SqlError::execution(format!("Not found: Namespace '{name}' not found")))
        };
    };
    let connection = &writer.db.connection;
    let mut changed = Vec::new();
    for table in namespace.tables.values() {
        meta::remove_table(connection, table).map_err(sql_error)?;
        changed.push(Changed { table: table.id, dropped: true });
    }
    meta::remove_namespace(connection, name).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    catalog.namespaces.remove(name);
    Ok(Outcome { changed, ..Outcome::new(format!("Namespace '{name}' dropped successfully"), catalog) })
}

fn create_table(
    writer: &Writer,
    catalog: &Catalog,
    default_namespace: &str,
    prefix: Option<&str>,
    create: &CreateTable,
) -> SqlResult<Outcome> {
    let (namespace, name) = names::table(&create.name, default_namespace)?;
    check_create(create)?;
    names::check("table", &name)?;
    let mut settings = Settings::read(prefix, &create.table_options)?;
    let (columns, key) = columns(create)?;
    if key.is_empty() {
        let kind = settings.kind.name();
        let kind = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
        return Err(SqlError::execution(format!(
            "Invalid operation: {kind} tables require a PRIMARY KEY column"
        )));
    }
    let Some(existing) = catalog.namespaces.get(&*namespace) else {
        return Err(SqlError::execution(format!("Not found: Namespace '{namespace}' not found")));
    };
    let kind = settings.kind.name();
    let created = format!("{kind} table {namespace}.{name} created successfully");
    if existing.tables.contains_key(&*name) {
        return if create.if_not_exists {
            Ok(Outcome::nothing(format!("Table {namespace}.{name} already exists (skipped)")))
        } else {
            Err(SqlError::execution(format!("Already exists: Table {namespace}.{name} already exists")))
        };
    }
    let now = time::now_micros();
    let mut table = Table {
        id: TableId(0),
        namespace: namespace.as_str().into(),
        name: name.as_str().into(),
        kind: settings.kind,
        access: settings.access,
        next_column_id: u32::try_from(columns.len()).unwrap_or(u32::MAX - 1) + 1,
        columns,
        key,
        version: 1,
        ttl_seconds: settings.ttl_seconds,
        retention_hours: settings.retention_hours,
        options: std::mem::take(&mut settings.shown),
        created_at: now,
        updated_at: now,
        row_sql: OnceLock::new(),
    };
    meta::add_table(&writer.db.connection, &mut table).map_err(sql_error)?;
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(&*namespace) {
        namespace.tables.insert(table.name.clone(), Arc::new(table));
    }
    Ok(Outcome::new(format!("CREATE TABLE: {created}"), catalog))
}

fn check_create(create: &CreateTable) -> SqlResult<()> {
    let plain = !create.or_replace
        && !create.temporary
        && !create.unlogged
        && !create.external
        && create.query.is_none()
        && create.like.is_none()
        && create.clone.is_none()
        && create.inherits.is_none()
        && create.partition_by.is_none()
        && create.partition_of.is_none()
        && create.primary_key.is_none()
        && create.order_by.is_none()
        && create.cluster_by.is_none()
        && create.on_commit.is_none();
    if plain { Ok(()) } else { Err(SqlError::unsupported("this form of CREATE TABLE")) }
}

fn create_error(message: impl std::fmt::Display) -> SqlError {
    SqlError::invalid(format!("Invalid CREATE TABLE statement: {message}"))
}

/// What WITH (...) says.
struct Settings {
    kind: TableKind,
    access: Access,
    ttl_seconds: Option<u64>,
    retention_hours: Option<u64>,
    shown: std::collections::BTreeMap<String, String>,
}

impl Settings {
    fn read(prefix: Option<&str>, options: &CreateTableOptions) -> SqlResult<Self> {
        let list = match options {
            CreateTableOptions::None => &[][..],
            CreateTableOptions::With(list) => list,
            _ => return Err(create_error("options are written WITH (NAME = 'value', ...)")),
        };
        let (mut kind, mut access) = (prefix.map(str::to_owned), None);
        let mut shown = std::collections::BTreeMap::new();
        let (mut ttl_seconds, mut retention_hours) = (None, None);
        for option in list {
            let SqlOption::KeyValue { key, value } = option else {
                return Err(create_error(format_args!("{option} is not an option")));
            };
            let (key, value) = (key.to_string().to_uppercase(), option_value(value)?);
            match key.as_str() {
                "TYPE" => kind = Some(value.to_uppercase()),
                "ACCESS_LEVEL" => {
                    access =
                        Some(Access::parse(&value).ok_or_else(|| {
                            create_error("ACCESS_LEVEL is PUBLIC, PRIVATE, RESTRICTED or DBA")
                        })?);
                }
                "TTL_SECONDS" => ttl_seconds = Some(whole(&key, &value, 1)?),
                "DELETED_RETENTION_HOURS" => retention_hours = Some(whole(&key, &value, 0)?),
                _ => {
                    check_option(&key, &value)?;
                    shown.insert(key, value);
                }
            }
        }
        let kind = match kind.as_deref() {
            None | Some("SHARED") => TableKind::Shared,
            Some("USER") => TableKind::User,
            // Recorded in wire/sql_surface.jsonl.
            Some("STREAM") if ttl_seconds.is_none() => {
                return Err(create_error("STREAM tables must specify 'TTL_SECONDS'"));
            }
            Some("STREAM") => TableKind::Stream,
            Some(other) => {
                return Err(create_error(format_args!("unknown TYPE '{other}': use USER, SHARED or STREAM")));
            }
        };
        let only = |key: &str, kinds: &[TableKind]| match kinds.contains(&kind) {
            true => Ok(()),
            false => {
                let names: Vec<String> = kinds.iter().map(|k| k.name().to_uppercase()).collect();
                Err(create_error(format_args!("{key} is an option of {} tables only", names.join(" and "))))
            }
        };
        if ttl_seconds.is_some() {
            only("TTL_SECONDS", &[TableKind::Stream])?;
        }
        if access.is_some() {
            only("ACCESS_LEVEL", &[TableKind::Shared])?;
        }
        for key in shown.keys() {
            match key.as_str() {
                "USE_USER_STORAGE" => only(key, &[TableKind::User])?,
                "FLUSH_POLICY" | "COMPRESSION" => only(key, &[TableKind::User, TableKind::Shared])?,
                "EVICTION_STRATEGY" | "MAX_STREAM_SIZE_BYTES" => only(key, &[TableKind::Stream])?,
                _ => {}
            }
        }
        Ok(Self { kind, access: access.unwrap_or(Access::Private), ttl_seconds, retention_hours, shown })
    }
}

/// A whole number that is at least so great.
fn whole(key: &str, value: &str, least: u64) -> SqlResult<u64> {
    let number = value.parse().ok().filter(|n| (least..=100_000_000_000).contains(n));
    number.ok_or_else(|| create_error(format_args!("{key} is a whole number from {least}, not '{value}'")))
}

/// Options that are kept to be shown: the embedded server has one way to store.
fn check_option(key: &str, value: &str) -> SqlResult<()> {
    let valid = match key {
        "STORAGE_ID" => {
            !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        }
        "USE_USER_STORAGE" => matches!(value.to_ascii_lowercase().as_str(), "true" | "false"),
        "FLUSH_POLICY" => value.split(',').all(|part| {
            part.trim().split_once(':').is_some_and(|(what, n)| {
                matches!(what, "rows" | "interval") && n.parse::<u64>().is_ok_and(|n| n > 0)
            })
        }),
        "COMPRESSION" => matches!(value.to_ascii_lowercase().as_str(), "none" | "snappy" | "zstd"),
        "EVICTION_STRATEGY" => {
            matches!(value.to_ascii_lowercase().as_str(), "time_based" | "size_based" | "hybrid")
        }
        "MAX_STREAM_SIZE_BYTES" => value.parse::<u64>().is_ok(),
        // Recorded in wire/sql_surface.jsonl.
        _ => return Err(create_error(format_args!("Unknown table option '{key}'"))),
    };
    match valid {
        true => Ok(()),
        false => Err(create_error(format_args!("'{value}' is not a value of {key}"))),
    }
}

fn option_value(value: &Expr) -> SqlResult<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Ok(text.clone()),
            Value::Number(text, _) => Ok(text.clone()),
            Value::Boolean(value) => Ok(value.to_string()),
            other => Err(create_error(format_args!("{other} is not the value of an option"))),
        },
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        other => Err(create_error(format_args!("{other} is not the value of an option"))),
    }
}

fn columns(create: &CreateTable) -> SqlResult<(Vec<TableColumn>, Vec<usize>)> {
    let (mut columns, mut key) = (Vec::<TableColumn>::new(), Vec::new());
    for (position, definition) in create.columns.iter().enumerate() {
        let (column, is_key) = column(definition, u32::try_from(position).unwrap_or(u32::MAX - 1) + 1)?;
        if columns.iter().any(|c| c.name == column.name) {
            return Err(create_error(format_args!("the column '{}' is there twice", column.name)));
        }
        if is_key {
            key.push(position);
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(create_error("a table needs columns"));
    }
    if columns.len() > 500 {
        return Err(create_error("more than 500 columns"));
    }
    if key.len() > 1 {
        return Err(create_error("several PRIMARY KEY columns are written PRIMARY KEY (a, b)"));
    }
    for constraint in &create.constraints {
        let TableConstraint::PrimaryKey(primary) = constraint else {
            return Err(SqlError::unsupported(format_args!("the constraint {constraint}")));
        };
        if !key.is_empty() {
            return Err(create_error("there are two PRIMARY KEYs"));
        }
        for part in &primary.columns {
            let Expr::Identifier(ident) = &part.column.expr else {
                return Err(create_error("a PRIMARY KEY is a list of columns"));
            };
            let name = names::ident(ident);
            let position = columns.iter().position(|c| *c.name == *name);
            let position = position
                .ok_or_else(|| create_error(format_args!("PRIMARY KEY column '{name}' does not exist")))?;
            if key.contains(&position) {
                return Err(create_error(format_args!("the column '{name}' is in the PRIMARY KEY twice")));
            }
            key.push(position);
        }
    }
    for position in &key {
        let column = &mut columns[*position];
        column.not_null = true;
        if matches!(column.data_type, DataType::Embedding(_) | DataType::File | DataType::Json) {
            return Err(create_error(format_args!(
                "a column of type {} can not be in the PRIMARY KEY",
                column.data_type
            )));
        }
    }
    Ok((columns, key))
}

fn column(definition: &ColumnDef, id: u32) -> SqlResult<(TableColumn, bool)> {
    let name = names::ident(&definition.name);
    names::check("column", &name)?;
    if RESERVED_COLUMNS.contains(&name.as_str()) {
        return Err(create_error(format_args!("the column name '{name}' is reserved")));
    }
    let (data_type, serial) = types::column_type(&definition.data_type)?;
    let default = serial.then_some(DefaultValue::SnowflakeId);
    let mut column = TableColumn { id, name: name.into(), data_type, not_null: serial, default };
    let mut key = false;
    for option in &definition.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => column.not_null = true,
            ColumnOption::Default(_) if data_type == DataType::File => {
                return Err(create_error("a FILE column has no DEFAULT: each file belongs to one row"));
            }
            ColumnOption::Default(value) => column.default = default_value(&column, value)?,
            ColumnOption::PrimaryKey(_) => key = true,
            ColumnOption::Comment(_) => {}
            ColumnOption::DialectSpecific(tokens)
                if tokens.iter().any(|t| {
                    let word = t.to_string().to_uppercase();
                    word == "AUTO_INCREMENT" || word == "AUTOINCREMENT"
                }) =>
            {
                if data_type != DataType::BigInt {
                    return Err(create_error(
                        "AUTO_INCREMENT needs BIGINT: its values come from SNOWFLAKE_ID()",
                    ));
                }
                column.default = Some(DefaultValue::SnowflakeId);
            }
            other => return Err(SqlError::unsupported(format_args!("the column option {other}"))),
        }
    }
    Ok((column, key))
}

fn default_value(column: &TableColumn, value: &Expr) -> SqlResult<Option<DefaultValue>> {
    let text = match value {
        Expr::Nested(inner) => return default_value(column, inner),
        Expr::Value(value) => match &value.value {
            Value::Null => return Ok(None),
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(text, _) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            other => return Err(SqlError::unsupported(format_args!("DEFAULT {other}"))),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
        Expr::Function(call) => {
            return match dml::made(&call.name, column) {
                Some(made) => Ok(Some(made)),
                None => Err(SqlError::unsupported(format_args!(
                    "DEFAULT {call} for a column of type {}",
                    column.data_type
                ))),
            };
        }
        other => return Err(SqlError::unsupported(format_args!("DEFAULT {other}"))),
    };
    match convert::from_text(&text, column.data_type) {
        Ok(_) => Ok(Some(DefaultValue::Literal(text))),
        Err(error) => Err(create_error(format_args!("the DEFAULT of '{}': {}", column.name, error.0))),
    }
}

fn drop_table(
    writer: &Writer,
    catalog: &Catalog,
    namespace: &str,
    name: &str,
    if_exists: bool,
) -> SqlResult<Outcome> {
    let Some(table) = catalog.table(namespace, name) else {
        // Recorded in wire/sql_surface.jsonl.
        return if if_exists {
            Ok(Outcome::nothing(format!("Table {namespace}.{name} does not exist (skipped)")))
        } else {
            Err(not_found(namespace, name))
        };
    };
    meta::remove_table(&writer.db.connection, table).map_err(sql_error)?;
    let changed = vec![Changed { table: table.id, dropped: true }];
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(namespace) {
        namespace.tables.remove(name);
    }
    let message = format!("Table {namespace}.{name} dropped successfully");
    Ok(Outcome { changed, ..Outcome::new(message, catalog) })
}

fn not_found(namespace: &str, name: &str) -> SqlError {
    SqlError::execution(format!("Not found: Table '{name}' not found in namespace '{namespace}'"))
}

fn alter_table(
    writer: &Writer,
    catalog: &Catalog,
    namespace: &str,
    name: &str,
    operations: &[AlterTableOperation],
) -> SqlResult<Outcome> {
    let old = catalog.table(namespace, name).ok_or_else(|| not_found(namespace, name))?;
    let mut table = Table::clone(old);
    table.row_sql = OnceLock::new();
    let [operation] = operations else {
        return Err(SqlError::unsupported("ALTER TABLE with several changes at once"));
    };
    let change = match operation {
        AlterTableOperation::AddColumn {
            if_not_exists: false, column_def, column_position: None, ..
        } => add_column(writer, &mut table, column_def)?,
        AlterTableOperation::DropColumn { column_names, if_exists: false, drop_behavior: None, .. } => {
            let [column] = &column_names[..] else {
                return Err(SqlError::unsupported("DROP COLUMN of several columns"));
            };
            drop_column(writer, &mut table, &names::ident(column))?
        }
        AlterTableOperation::ModifyColumn { col_name, data_type, options, column_position: None } => {
            modify_column(writer, &mut table, &names::ident(col_name), data_type, options)?
        }
        AlterTableOperation::SetTblProperties { table_properties } => {
            set_properties(&mut table, table_properties)?
        }
        other => return Err(SqlError::unsupported(format_args!("ALTER TABLE ... {other}"))),
    };
    table.version += 1;
    table.updated_at = time::now_micros();
    meta::update_table(&writer.db.connection, &table).map_err(sql_error)?;
    let message =
        format!("Table {namespace}.{name} altered successfully: {change} (version {})", table.version);
    let changed = vec![Changed { table: table.id, dropped: false }];
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(namespace) {
        namespace.tables.insert(table.name.clone(), Arc::new(table));
    }
    Ok(Outcome { changed, ..Outcome::new(message, catalog) })
}

fn add_column(writer: &Writer, table: &mut Table, definition: &ColumnDef) -> SqlResult<String> {
    let connection = &writer.db.connection;
    let (column, key) = column(definition, table.next_column_id)?;
    if key {
        return Err(SqlError::execution("Invalid operation: a PRIMARY KEY column can not be added"));
    }
    if table.column(&column.name).is_some() {
        return Err(SqlError::execution(format!("Already exists: Column '{}' already exists", column.name)));
    }
    let default = column.literal_default();
    if column.not_null && default.is_none() && !meta::is_empty(connection, table).map_err(sql_error)? {
        return Err(SqlError::execution(format!(
            "Invalid operation: the table has rows, so a NOT NULL column needs a literal DEFAULT: '{}'",
            column.name
        )));
    }
    let (name, sqlite) = (table.sqlite_name(), column.sqlite_name());
    let add = format!("ALTER TABLE {name} ADD COLUMN {sqlite} {}", column.sqlite_type());
    connection.execute(&add, []).map_err(sql_error)?;
    if let Some(default) = default {
        let fill = format!("UPDATE {name} SET {sqlite} = ?1");
        connection.execute(&fill, [convert::to_sqlite(&default)]).map_err(sql_error)?;
    }
    let change = format!("ADD COLUMN {} {}", column.name, column.data_type);
    table.next_column_id += 1;
    table.columns.push(column);
    Ok(change)
}

fn drop_column(writer: &Writer, table: &mut Table, name: &str) -> SqlResult<String> {
    let position = table.column(name);
    let position =
        position.ok_or_else(|| SqlError::execution(format!("Not found: Column '{name}' not found")))?;
    if table.key.contains(&position) {
        return Err(SqlError::execution(format!(
            "Invalid operation: the PRIMARY KEY column '{name}' can not be dropped"
        )));
    }
    let column = table.columns.remove(position);
    for key in &mut table.key {
        *key -= usize::from(*key > position);
    }
    if column.data_type == DataType::File {
        files::release_column(&writer.db.connection, table, &column).map_err(sql_error)?;
    }
    let drop = format!("ALTER TABLE {} DROP COLUMN {}", table.sqlite_name(), column.sqlite_name());
    writer.db.connection.execute(&drop, []).map_err(sql_error)?;
    Ok(format!("DROP COLUMN {name}"))
}

/// Gives a column another type or rule. Its values are converted; one that can not be stops it all.
fn modify_column(
    writer: &Writer,
    table: &mut Table,
    name: &str,
    data_type: &sqlparser::ast::DataType,
    options: &[ColumnOption],
) -> SqlResult<String> {
    let position = table.column(name);
    let position =
        position.ok_or_else(|| SqlError::execution(format!("Not found: Column '{name}' not found")))?;
    if table.key.contains(&position) {
        return Err(SqlError::execution(format!(
            "Invalid operation: the PRIMARY KEY column '{name}' can not be modified"
        )));
    }
    let connection = &writer.db.connection;
    let old = table.columns[position].clone();
    let definition = ColumnDef {
        name: sqlparser::ast::Ident::with_quote('"', name),
        data_type: data_type.clone(),
        options: options
            .iter()
            .map(|option| sqlparser::ast::ColumnOptionDef { name: None, option: option.clone() })
            .collect(),
    };
    let (mut column, key) = column(&definition, table.next_column_id)?;
    if key || [old.data_type, column.data_type].contains(&DataType::File) && old.data_type != column.data_type
    {
        return Err(SqlError::unsupported("MODIFY COLUMN into or out of a key or a FILE"));
    }
    if !options.iter().any(|option| matches!(option, ColumnOption::Default(_))) {
        column.default = match &old.default {
            Some(DefaultValue::Literal(text)) => {
                convert::from_text(text, column.data_type).ok().and(old.default.clone())
            }
            default => default.clone(),
        };
    }
    let (table_name, from) = (table.sqlite_name(), old.sqlite_name());
    if column.not_null {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table_name} WHERE d = 0 AND {from} IS NULL)");
        if connection.query_row(&sql, [], |row| row.get::<_, bool>(0)).map_err(sql_error)? {
            return Err(SqlError::execution(format!(
                "Constraint violation: the column '{name}' has NULLs: give them a value before NOT NULL"
            )));
        }
    }
    let change = format!("MODIFY COLUMN {name} {}", column.data_type);
    if column.data_type == old.data_type {
        column.id = old.id;
        table.columns[position] = column;
        return Ok(change);
    }
    let to = column.sqlite_name();
    let run = |sql: String| connection.execute(&sql, []).map(drop).map_err(sql_error);
    run(format!("ALTER TABLE {table_name} ADD COLUMN {to} {}", column.sqlite_type()))?;
    run(format!(
        "UPDATE {table_name} SET {to} = k_cast({from}, {}, {})",
        convert::type_code(old.data_type),
        convert::type_code(column.data_type)
    ))?;
    run(format!("ALTER TABLE {table_name} DROP COLUMN {from}"))?;
    table.next_column_id += 1;
    table.columns[position] = column;
    Ok(change)
}

/// What WITH (...) of CREATE TABLE says, changed later. The kind of a table stays.
fn set_properties(table: &mut Table, properties: &[SqlOption]) -> SqlResult<String> {
    let mut names = Vec::new();
    for property in properties {
        let SqlOption::KeyValue { key, value } = property else {
            return Err(SqlError::invalid(format!("{property} is not a property")));
        };
        let (key, value) = (key.to_string().trim_matches(['\'', '"']).to_uppercase(), option_value(value)?);
        match key.as_str() {
            "TYPE" => return Err(SqlError::unsupported("changing the TYPE of a table")),
            "ACCESS_LEVEL" if table.kind == TableKind::Shared => {
                table.access = Access::parse(&value)
                    .ok_or_else(|| SqlError::invalid("ACCESS_LEVEL is PUBLIC, PRIVATE, RESTRICTED or DBA"))?;
            }
            "ACCESS_LEVEL" => {
                return Err(SqlError::invalid("ACCESS_LEVEL is an option of SHARED tables only"));
            }
            // Rows that are there keep the time they were given.
            "TTL_SECONDS" if table.kind == TableKind::Stream => {
                table.ttl_seconds = Some(whole(&key, &value, 1)?);
            }
            "TTL_SECONDS" => return Err(SqlError::invalid("TTL_SECONDS is an option of STREAM tables only")),
            "DELETED_RETENTION_HOURS" => table.retention_hours = Some(whole(&key, &value, 0)?),
            _ => {
                check_option(&key, &value)?;
                table.options.insert(key.clone(), value);
            }
        }
        names.push(key);
    }
    Ok(format!("SET TBLPROPERTIES {}", names.join(", ")))
}
