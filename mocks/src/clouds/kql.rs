//! The part of KQL that a connector sends to advanced hunting; anything else is refused.

use chrono::{DateTime, Utc};
use provost_model::parse_time;

/// A query over `DeviceNetworkEvents`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Query {
    pub(crate) steps: Vec<Step>,
}

/// One operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Where(Vec<Condition>),
    /// `count` or `summarize name = count()`.
    Count(String),
    /// Columns, each with whether it ascends.
    Order(Vec<(String, bool)>),
    Take(usize),
    Project(Vec<String>),
    /// `extend name = ingestion_time()`
    Ingestion(String),
}

/// A comparison; a `where` holds several that all must be true.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) left: Operand,
    pub(crate) comparison: Comparison,
    pub(crate) right: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Column(String),
    IngestionTime,
    /// `hash(column, modulus)`
    Hash(String, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Time(DateTime<Utc>),
    Text(String),
    Number(i64),
}

/// What is not understood, in the words of the service.
pub(crate) type Problem = String;

/// Reads a query.
pub(crate) fn parse(text: &str) -> Result<Query, Problem> {
    let mut parser = Parser { tokens: tokens(text)?, place: 0 };
    let table = parser.name()?;
    if table != "DeviceNetworkEvents" {
        return Err(format!(
            "'where' operator: Failed to resolve table or column expression named '{table}'"
        ));
    }
    let mut query = Query::default();
    while parser.place < parser.tokens.len() {
        parser.expect("|")?;
        parser.step(&mut query.steps)?;
    }
    Ok(query)
}

struct Parser {
    tokens: Vec<Token>,
    place: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number(i64),
    Text(String),
    /// The inside of `datetime(…)`.
    Time(DateTime<Utc>),
    Sign(&'static str),
}

impl Parser {
    fn step(&mut self, steps: &mut Vec<Step>) -> Result<(), Problem> {
        let operator = self.name()?;
        match operator.as_str() {
            "where" => {
                let mut conditions = Vec::new();
                loop {
                    self.condition(&mut conditions)?;
                    if !self.word("and") {
                        break;
                    }
                }
                steps.push(Step::Where(conditions));
            }
            "count" => steps.push(Step::Count("Count".to_owned())),
            "summarize" => {
                let mut name = self.name()?;
                if self.sign("=") {
                    let function = self.name()?;
                    if function != "count" {
                        return Err(syntax(&function));
                    }
                } else if name == "count" {
                    "count_".clone_into(&mut name);
                } else {
                    return Err(syntax(&name));
                }
                self.expect("(")?;
                self.expect(")")?;
                steps.push(Step::Count(name));
            }
            "order" | "sort" => {
                if !self.word("by") {
                    return Err(syntax("by"));
                }
                let keys = self.keys()?;
                steps.push(Step::Order(keys));
            }
            "top" => {
                let count = self.number()?;
                if !self.word("by") {
                    return Err(syntax("by"));
                }
                let keys = self.keys()?;
                steps.extend([Step::Order(keys), Step::Take(count)]);
            }
            "take" | "limit" => {
                let count = self.number()?;
                steps.push(Step::Take(count));
            }
            "project" => {
                let mut columns = vec![self.name()?];
                while self.sign(",") {
                    columns.push(self.name()?);
                }
                steps.push(Step::Project(columns));
            }
            "extend" => {
                let name = self.name()?;
                self.expect("=")?;
                if !self.word("ingestion_time") {
                    return Err(syntax("extend"));
                }
                self.expect("(")?;
                self.expect(")")?;
                steps.push(Step::Ingestion(name));
            }
            other => return Err(syntax(other)),
        }
        Ok(())
    }

    fn condition(&mut self, conditions: &mut Vec<Condition>) -> Result<(), Problem> {
        let left = match self.name()?.as_str() {
            "ingestion_time" => {
                self.expect("(")?;
                self.expect(")")?;
                Operand::IngestionTime
            }
            "hash" => {
                self.expect("(")?;
                let column = self.name()?;
                self.expect(",")?;
                let modulus = self.number()?.max(1) as u64;
                self.expect(")")?;
                Operand::Hash(column, modulus)
            }
            column => Operand::Column(column.to_owned()),
        };
        if self.word("between") {
            self.expect("(")?;
            let from = self.value()?;
            self.expect("..")?;
            let to = self.value()?;
            self.expect(")")?;
            let bound = |comparison, right| Condition { left: left.clone(), comparison, right };
            conditions.extend([bound(Comparison::GreaterOrEqual, from), bound(Comparison::LessOrEqual, to)]);
            return Ok(());
        }
        let comparison = match self.next()? {
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::LessOrEqual,
            Token::Sign(">") => Comparison::Greater,
            Token::Sign(">=") => Comparison::GreaterOrEqual,
            Token::Sign("==") => Comparison::Equal,
            Token::Sign("!=") => Comparison::NotEqual,
            other => return Err(syntax(&format!("{other:?}"))),
        };
        let right = self.value()?;
        conditions.push(Condition { left, comparison, right });
        Ok(())
    }

    fn keys(&mut self) -> Result<Vec<(String, bool)>, Problem> {
        let mut keys = Vec::new();
        loop {
            let mut column = self.name()?;
            if column == "ingestion_time" {
                self.expect("(")?;
                self.expect(")")?;
                "ingestion_time()".clone_into(&mut column);
            }
            // Kusto sorts downwards unless told otherwise.
            let ascending = self.word("asc");
            if !ascending {
                self.word("desc");
            }
            keys.push((column, ascending));
            if !self.sign(",") {
                return Ok(keys);
            }
        }
    }

    fn value(&mut self) -> Result<Value, Problem> {
        match self.next()? {
            Token::Time(time) => Ok(Value::Time(time)),
            Token::Text(text) => Ok(Value::Text(text)),
            Token::Number(number) => Ok(Value::Number(number)),
            other => Err(syntax(&format!("{other:?}"))),
        }
    }

    fn next(&mut self) -> Result<Token, Problem> {
        let token =
            self.tokens.get(self.place).cloned().ok_or("Query is incomplete: unexpected end of input")?;
        self.place += 1;
        Ok(token)
    }

    fn name(&mut self) -> Result<String, Problem> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            other => Err(syntax(&format!("{other:?}"))),
        }
    }

    fn number(&mut self) -> Result<usize, Problem> {
        match self.next()? {
            Token::Number(number) => usize::try_from(number).map_err(|_| syntax(&number.to_string())),
            other => Err(syntax(&format!("{other:?}"))),
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), Problem> {
        match self.next()? {
            Token::Sign(found) if found == sign => Ok(()),
            other => Err(syntax(&format!("{other:?}"))),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Sign(found)) if *found == sign);
        self.place += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.place), Some(Token::Name(found)) if found == word);
        self.place += usize::from(found);
        found
    }
}

fn syntax(found: &str) -> Problem {
    format!("A recognition error occurred in the query. Unexpected: {found}")
}

fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    const SIGNS: [&str; 13] = ["==", "!=", "<=", ">=", "..", "<", ">", "=", "|", "(", ")", ",", ";"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(inside) = rest.strip_prefix("datetime(") {
            let (time, after) = inside.split_once(')').ok_or("Unterminated datetime literal")?;
            let time = parse_time(time.trim().trim_matches(['"', '\''])).map_err(|_| syntax(time))?;
            tokens.push(Token::Time(time));
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..end].parse().map_err(|_| syntax(&rest[..end]))?));
            rest = &rest[end..];
        } else if first == '"' || first == '\'' {
            let (inside, after) = rest[1..].split_once(first).ok_or("Unterminated string literal")?;
            tokens.push(Token::Text(inside.to_owned()));
            rest = after;
        } else {
            let sign = SIGNS
                .into_iter()
                .find(|sign| rest.starts_with(sign))
                .ok_or_else(|| syntax(&first.to_string()))?;
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queries_of_a_connector_are_read_and_others_refused() {
        for (query, steps) in [
            ("DeviceNetworkEvents", Some(0)),
            (
                "DeviceNetworkEvents\n| where Timestamp >= datetime(2026-01-01T00:00:00Z) and Timestamp < datetime(2026-01-02)\n\
                 | order by Timestamp asc, ReportId | take 10",
                Some(3),
            ),
            (
                "DeviceNetworkEvents | where Timestamp between (datetime(2026-01-01) .. datetime(2026-01-02)) | count",
                Some(2),
            ),
            (
                "DeviceNetworkEvents | where ingestion_time() > datetime(2026-01-01) | summarize Rows = count()",
                Some(2),
            ),
            ("DeviceNetworkEvents | where hash(DeviceId, 4) == 0 | project DeviceId, Timestamp", Some(2)),
            ("DeviceNetworkEvents | top 5 by Timestamp desc", Some(2)),
            ("DeviceProcessEvents | take 1", None),
            ("DeviceNetworkEvents | where Timestamp > ago(1d)", None),
            ("DeviceNetworkEvents | mv-expand x", None),
            ("DeviceNetworkEvents | where Timestamp >= '2026", None),
            ("", None),
        ] {
            assert_eq!(parse(query).ok().map(|query| query.steps.len()), steps, "{query}");
        }
    }
}
