//! Window functions and what stands in OVER.

use sqlparser::ast::{Expr, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType};

use super::{calls::wrong_arguments, names, translator::Translator, typed::Typed};
use crate::engine::{DataType, SqlError, error::SqlResult};

impl Translator<'_> {
    pub(super) fn window_function(
        &mut self,
        name: &str,
        args: &[&Expr],
        over: &WindowType,
    ) -> SqlResult<Typed> {
        if !self.frame().windows {
            return Err(SqlError::execution(format!(
                "Error during planning: the window function {name}() can not stand here"
            )));
        }
        self.frame_mut().windows = false;
        let call = self.window_call(name, args);
        let window = self.window(over);
        self.frame_mut().windows = true;
        let ((text, data_type, shown), (window, written)) = (call?, window?);
        Ok(Typed::new(format!("{text}{window}"), data_type, shown + &written))
    }

    fn window_call(&mut self, name: &str, args: &[&Expr]) -> SqlResult<(String, DataType, String)> {
        match (name, args) {
            ("row_number" | "rank" | "dense_rank", []) => {
                Ok((format!("{name}()"), DataType::BigInt, format!("{name}()")))
            }
            ("percent_rank" | "cume_dist", []) => {
                Ok((format!("{name}()"), DataType::Double, format!("{name}()")))
            }
            ("ntile", [n]) => {
                let n = self.expr(n)?;
                let shown = format!("ntile({})", n.name);
                let n = self.whole(n, "ntile()")?;
                Ok((format!("ntile({n})"), DataType::BigInt, shown))
            }
            ("first_value" | "last_value", [value]) => {
                let value = self.expr(value)?;
                let shown = format!("{name}({})", value.name);
                let (text, data_type) = self.finish(value)?;
                Ok((format!("{name}({text})"), data_type, shown))
            }
            ("nth_value", [value, n]) => {
                let (value, n) = (self.expr(value)?, self.expr(n)?);
                let shown = format!("{name}({},{})", value.name, n.name);
                let (text, data_type) = self.finish(value)?;
                let n = self.whole(n, "nth_value()")?;
                Ok((format!("nth_value({text}, {n})"), data_type, shown))
            }
            ("lag" | "lead", [value, rest @ ..]) if rest.len() <= 2 => {
                let value = self.expr(value)?;
                let mut shown = format!("{name}({}", value.name);
                let n = match rest.first() {
                    None => "1".to_owned(),
                    Some(n) => {
                        let n = self.expr(n)?;
                        shown.push_str(&format!(",{}", n.name));
                        self.whole(n, name)?
                    }
                };
                let Some(default) = rest.get(1) else {
                    let (text, data_type) = self.finish(value)?;
                    return Ok((format!("{name}({text}, {n})"), data_type, shown + ")"));
                };
                let default = self.expr(default)?;
                shown.push_str(&format!(",{})", default.name));
                let both = [value, default];
                let common = self.unify(&both)?;
                let [value, default] = both.map(|t| self.coerce(t, common));
                Ok((format!("{name}({}, {n}, {})", value?, default?), common, shown))
            }
            (
                "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" | "ntile" | "first_value"
                | "last_value" | "nth_value" | "lag" | "lead",
                _,
            ) => Err(wrong_arguments(name, "another number of arguments")),
            _ => Err(SqlError::unsupported(format_args!("the window function {name}()"))),
        }
    }

    /// ` OVER (...)` for SQLite, and for the name of the column.
    pub(super) fn window(&mut self, over: &WindowType) -> SqlResult<(String, String)> {
        let spec = match over {
            WindowType::WindowSpec(spec) => spec.clone(),
            WindowType::NamedWindow(name) => self.named_window(&names::ident(name))?,
        };
        let WindowSpec { window_name, mut partition_by, mut order_by, window_frame } = spec;
        if let Some(name) = window_name {
            let base = self.named_window(&names::ident(&name))?;
            if !partition_by.is_empty()
                || base.window_frame.is_some()
                || !(order_by.is_empty() || base.order_by.is_empty())
            {
                return Err(SqlError::invalid(
                    "a window that builds on another may add ORDER BY and a frame",
                ));
            }
            partition_by = base.partition_by;
            if order_by.is_empty() {
                order_by = base.order_by;
            }
        }
        let (mut parts, mut shown) = (Vec::new(), Vec::new());
        if !partition_by.is_empty() {
            let mut texts = Vec::new();
            for expr in &partition_by {
                let typed = self.expr(expr)?;
                texts.push(self.finish(typed)?.0);
            }
            parts.push(format!("PARTITION BY {}", texts.join(", ")));
            let names: Vec<String> = partition_by.iter().map(ToString::to_string).collect();
            shown.push(format!("PARTITION BY [{}]", names.join(", ")));
        }
        let order = self.order_by(&order_by, &[], false, false)?;
        if !order.is_empty() {
            parts.push(order.trim_start().to_owned());
            let names: Vec<String> = order_by.iter().map(ToString::to_string).collect();
            shown.push(format!("ORDER BY [{}]", names.join(", ")));
        }
        if let Some(frame) = window_frame {
            let frame = window_frame_text(&frame)?;
            shown.push(frame.clone());
            parts.push(frame);
        }
        let written = match shown.is_empty() {
            true => String::new(),
            false => format!(" {}", shown.join(" ")),
        };
        Ok((format!(" OVER ({})", parts.join(" ")), written))
    }

    fn named_window(&self, name: &str) -> SqlResult<WindowSpec> {
        let found = self.frame().named_windows.iter().find(|(known, _)| known == name);
        found
            .map(|(_, spec)| spec.clone())
            .ok_or_else(|| SqlError::execution(format!("Error during planning: there is no window '{name}'")))
    }
}

fn window_frame_text(frame: &WindowFrame) -> SqlResult<String> {
    let WindowFrame { units, start_bound, end_bound } = frame;
    let unit = match units {
        WindowFrameUnits::Rows => "ROWS",
        WindowFrameUnits::Range => "RANGE",
        WindowFrameUnits::Groups => "GROUPS",
    };
    let bound = |bound: &WindowFrameBound| {
        Ok(match bound {
            WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
            WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
            WindowFrameBound::Preceding(Some(n)) => format!("{} PRECEDING", rows(*units, n)?),
            WindowFrameBound::Following(Some(n)) => format!("{} FOLLOWING", rows(*units, n)?),
        })
    };
    let rank = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(None) => 0,
        WindowFrameBound::Preceding(Some(_)) => 1,
        WindowFrameBound::CurrentRow => 2,
        WindowFrameBound::Following(Some(_)) => 3,
        WindowFrameBound::Following(None) => 4,
    };
    let (start, end) = (rank(start_bound), end_bound.as_ref().map_or(2, rank));
    if start > end || start == 4 || end == 0 {
        return Err(SqlError::invalid("the frame of a window ends before it starts"));
    }
    Ok(match end_bound {
        None => format!("{unit} {}", bound(start_bound)?),
        Some(end) => format!("{unit} BETWEEN {} AND {}", bound(start_bound)?, bound(end)?),
    })
}

fn rows(units: WindowFrameUnits, n: &Expr) -> SqlResult<u32> {
    if units == WindowFrameUnits::Range {
        return Err(SqlError::unsupported("RANGE with a distance: use ROWS or GROUPS"));
    }
    match n {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| SqlError::invalid("the frame of a window takes whole numbers of rows"))
}
