//! JSON operators, as PostgreSQL writes them.

use sqlparser::ast::Expr;

use super::{
    temporal::literal,
    translator::Translator,
    typed::{Sql, Typed},
};
use crate::engine::{DataType, SqlError, error::SqlResult};

impl Translator<'_> {
    fn json(&mut self, typed: Typed, place: &str) -> SqlResult<String> {
        match (&typed.sql, typed.data_type()) {
            (Sql::Null, _) => Ok("NULL".into()),
            (Sql::Literal(_), Some(DataType::Text)) | (_, Some(DataType::Json)) => {
                self.coerce(typed, DataType::Json)
            }
            (_, Some(DataType::Text)) => Err(SqlError::execution(format!(
                "Error during planning: {place} needs JSON, not TEXT: write the text as (...)::JSON"
            ))),
            (_, other) => Err(SqlError::execution(format!(
                "Error during planning: {place} needs JSON, not {}",
                other.map_or_else(|| "NULL".to_owned(), |t| t.to_string())
            ))),
        }
    }

    /// `->` and `->>` with the name of a member or the position of an element.
    pub(super) fn json_get(&mut self, left: &Expr, op: &str, right: &Expr) -> SqlResult<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let name = format!("{} {op} {}", left.name, right.name);
        let json = self.json(left, op)?;
        let key = match right.data_type() {
            Some(data_type) if data_type.is_integer() => self.whole(right, op)?,
            _ => self.text(right, op)?,
        };
        Ok(gotten(format!("k_json_get({json}, {key})"), op, name))
    }

    /// `#>` and `#>>` with a written path, `'{a,0,b}'`.
    pub(super) fn json_path(&mut self, left: &Expr, op: &str, right: &Expr) -> SqlResult<Typed> {
        let path =
            literal(right).and_then(|p| Some(p.trim().strip_prefix('{')?.strip_suffix('}')?.to_owned()));
        let path = path.filter(|p| !p.contains(['"', '\\', '{'])).ok_or_else(|| {
            SqlError::unsupported(format_args!("{op} with anything but a written path such as '{{a,0,b}}'"))
        })?;
        let left = self.expr(left)?;
        let name = format!("{} {op} Utf8(\"{{{path}}}\")", left.name);
        let mut json = self.json(left, op)?;
        for step in path.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let cell = crate::engine::Cell::Text(step.into());
            let step = self.bind(super::typed::Bind::Cell(cell));
            json = format!("k_json_step({json}, {step})");
        }
        Ok(gotten(json, op, name))
    }

    /// `@>`, `<@` and `?`.
    pub(super) fn json_test(
        &mut self,
        left: &Expr,
        op: &str,
        function: &str,
        right: &Expr,
        both: bool,
    ) -> SqlResult<Typed> {
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let name = format!("{} {op} {}", left.name, right.name);
        let left = self.json(left, op)?;
        let right = if both { self.json(right, op)? } else { self.text(right, op)? };
        Ok(Typed::new(format!("{function}({left}, {right})"), DataType::Boolean, name))
    }

    pub(super) fn of_json(
        &mut self,
        function: &str,
        shown: &str,
        arg: &Expr,
        result: DataType,
    ) -> SqlResult<Typed> {
        let arg = self.expr(arg)?;
        let name = format!("{shown}({})", arg.name);
        let json = self.json(arg, shown)?;
        Ok(Typed::new(format!("{function}({json})"), result, name))
    }
}

fn gotten(json: String, op: &str, name: String) -> Typed {
    match op {
        "->>" | "#>>" => Typed::new(format!("k_json_text({json})"), DataType::Text, name),
        _ => Typed::new(json, DataType::Json, name),
    }
}
