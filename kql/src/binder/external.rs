//! `externaldata`: files that the query names, with the columns that it declares.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Column as PlanColumn, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::streaming::PartitionStream;

use super::expression::fold;
use super::operator::setting_text;
use super::summarize::Names;
use super::{Binder, Binding, Col, Context, Relation, Stop, fault};
use crate::ast::{Expr, Name, Setting, Span};
use crate::diagnostics::Diagnostic;
use crate::external::{External, FORMATS, Format, Options};
use crate::types::{Column, KqlType};

/// What may stand after `with`.
const PROPERTIES: [&str; 3] = ["format", "ignoreFirstRecord", "zipPattern"];

impl<'a> Binder<'a> {
    pub(super) fn external_data(
        &mut self,
        columns: &'a [(Name, KqlType)],
        sources: &'a [Expr],
        settings: &'a [Setting],
        span: Span,
    ) -> Binding<Relation> {
        if columns.is_empty() || sources.is_empty() {
            return fault(span, "`externaldata` needs a column and an address: (a: string) ['https://…']");
        }
        let mut names = Names::default();
        for (name, _) in columns {
            names.chosen(&name.text, name.span)?;
        }
        let mut options = Options::default();
        for setting in settings {
            let text = setting_text(setting);
            match setting.name.text.as_str() {
                "format" => match Format::from_name(&text) {
                    Some(known) => options.format = Some(known),
                    None => {
                        let known = FORMATS.iter().map(|(name, _)| *name);
                        let message = format!("the format `{text}` is not supported");
                        let help = format!("it may be {}", known.clone().collect::<Vec<_>>().join(", "));
                        let diagnostic = Diagnostic::new(setting.value.span, message).with_help(help);
                        return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(&text, known))));
                    }
                },
                "ignoreFirstRecord" => match text.to_ascii_lowercase().as_str() {
                    "true" => options.ignore_first_record = true,
                    "false" => options.ignore_first_record = false,
                    _ => return fault(setting.value.span, "`true` or `false` is needed here"),
                },
                "zipPattern" => options.zip_pattern = Some(text),
                other => {
                    let message = format!("the property `{other}` is not supported");
                    let diagnostic = Diagnostic::new(setting.name.span, message);
                    return Err(Stop::Fault(Box::new(diagnostic.did_you_mean(other, PROPERTIES))));
                }
            }
        }
        let addresses = sources.iter().map(|source| self.address(source)).collect::<Binding<Vec<_>>>()?;
        let Some(files) = self.environment.files else {
            let message = "`externaldata` would fetch from the network, which a query may not do here";
            let diagnostic = Diagnostic::new(span, message).with_help("load the data as a watchlist");
            return Err(Stop::Fault(Box::new(diagnostic)));
        };

        let declared: Vec<Column> =
            columns.iter().map(|(name, kind)| Column::new(name.text.as_str(), *kind)).collect();
        let reference = TableReference::bare(self.fresh("external"));
        let cols = declared.iter().map(|column| Col {
            name: column.name.clone(),
            column: PlanColumn::new(Some(reference.clone()), &column.name),
            kind: column.kind,
        });
        let cols = cols.collect();
        let external = External::new(Arc::clone(files), addresses, options, declared);
        let schema = Arc::clone(external.schema());
        let table: Arc<dyn TableProvider> =
            Arc::new(StreamingTable::try_new(schema, vec![Arc::new(external)])?);
        let plan = LogicalPlanBuilder::scan(reference, provider_as_source(table), None)?.build()?;
        Ok(Relation::new(plan, cols))
    }

    /// An address that queries may read.
    fn address(&mut self, source: &'a Expr) -> Binding<String> {
        let typed = fold(self.scalar(source, &mut Context::default())?);
        let Some(address) = typed.constant_text().filter(|_| typed.kind == KqlType::String) else {
            return fault(source.span, "an address has to be a constant string");
        };
        match self.environment.files.map(|files| files.permit(&address)) {
            None | Some(Ok(())) => Ok(address),
            Some(Err(error)) => {
                let diagnostic = Diagnostic::new(source.span, error.message);
                let diagnostic = match error.help {
                    Some(help) => diagnostic.with_help(help),
                    None => diagnostic,
                };
                Err(Stop::Fault(Box::new(diagnostic)))
            }
        }
    }
}
