//! `Costs`: charges under the column names of FOCUS 1.2.

use chrono::{DateTime, TimeDelta, Utc};
use provost_model::{ColumnKind, EventId, Row, RowError, TableSpec, format_time};
use serde_json::Value;

use super::fields::{Fields, canonical, columns, object};
use super::table;

/// The words with which exports say "nothing" (FOCUS asks for null, CSV has none).
const NULL_WORDS: [&str; 5] = ["NULL", "null", "None", "nan", "\\N"];

/// Reads a line of a FOCUS export, of version 1.0, 1.1 or 1.2.
///
/// A provider restates a line by issuing the period again, so its key is everything that is not an amount, columns
/// that FOCUS does not know included: whoever imports the period again gets the line's next version. Lines of one
/// file that share all of that are told apart by [`super::Reading`].
pub fn focus(record: &Value) -> Result<Row, RowError> {
    let mut plain = object(record)?.clone();
    plain.retain(|_, value| !value.as_str().is_some_and(|text| NULL_WORDS.contains(&text.trim())));
    let plain = Value::Object(plain);
    let fields = Fields::of(&plain)?;
    let table = table("Costs")?;
    let start = fields.time(&["ChargePeriodStart"], "ChargePeriodStart")?;
    if fields.get(&["BilledCost"]).is_none() {
        return Err(RowError::Missing("BilledCost"));
    }
    let mut key: Vec<(String, &Value)> = object(&plain)?
        .iter()
        .map(|(name, value)| (name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase(), value))
        .filter(|(name, value)| !is_amount(table, name) && !value.as_str().is_some_and(str::is_empty))
        .collect();
    key.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let key: Vec<String> = key.into_iter().flat_map(|(name, value)| [name, canonical(value)]).collect();
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let row_key = EventId::of(&key);
    let mut row = Row::new(table, start, EventId::of(&[row_key.as_str(), &canonical(&plain)]));
    fields.fill(&mut row)?;
    row.set("_RowKey", row_key.as_str())?;
    Ok(row)
}

/// A day's charge of one service, as the cost APIs give it.
#[derive(Debug, Clone)]
pub(crate) struct DailyCharge<'a> {
    pub(crate) provider: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) billing_account: Option<&'a str>,
    pub(crate) account: &'a str,
    pub(crate) account_type: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: Option<&'a str>,
    pub(crate) day: DateTime<Utc>,
    pub(crate) amount: f64,
    pub(crate) currency: &'a str,
    pub(crate) estimated: Option<bool>,
}

impl DailyCharge<'_> {
    /// The row. Its key is account, service, region and day; a restated amount is the key's next version.
    pub(crate) fn row(&self) -> Result<Row, RowError> {
        let day = format_time(self.day);
        let row_key = EventId::of(&[
            self.provider,
            self.account,
            self.service,
            self.region.unwrap_or_default(),
            &day,
            self.currency,
        ]);
        let estimated = self.estimated.map(|flag| flag.to_string()).unwrap_or_default();
        let id = EventId::of(&[row_key.as_str(), &self.amount.to_string(), &estimated]);
        let mut row = Row::new(table("Costs")?, self.day, id);
        row.set("_RowKey", row_key.as_str())?;
        for (column, value) in [
            ("ProviderName", Some(self.provider)),
            ("PublisherName", Some(self.issuer)),
            ("InvoiceIssuerName", Some(self.issuer)),
            ("BillingAccountId", self.billing_account),
            ("SubAccountId", Some(self.account)),
            ("SubAccountType", Some(self.account_type)),
            ("ServiceName", Some(self.service)),
            ("RegionId", self.region),
            ("BillingCurrency", Some(self.currency)),
            ("ChargeCategory", Some("Usage")),
            ("ChargeFrequency", Some("Usage-Based")),
        ] {
            row.set(column, value)?;
        }
        row.set("ChargePeriodStart", self.day)?;
        row.set("ChargePeriodEnd", self.day.checked_add_signed(TimeDelta::days(1)))?;
        row.set("BilledCost", self.amount)?;
        row.set("x_Estimated", self.estimated)?;
        Ok(row)
    }
}

/// Amounts, quantities and prices change when a provider restates a charge; what the charge is for does not.
fn is_amount(table: &TableSpec, name: &str) -> bool {
    match columns(table).get(name) {
        Some(column) => column.kind == ColumnKind::Real,
        None => ["cost", "price", "quantity", "amount"].iter().any(|word| name.ends_with(word)),
    }
}
