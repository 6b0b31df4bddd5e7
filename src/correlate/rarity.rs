//! How much a shared entity says: much where few see it, nothing where everyone does. Measured in the lake.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use provost_kql::{Catalog, Engine, QueryOptions};
use provost_model::{Entity, EntityKind};
use serde::Deserialize;

use super::query;
use crate::parallel::in_tasks;

/// In a small tenant "everyone" is soon reached; fewer observers than this are counted as this many.
const FEWEST_OBSERVERS: f64 = 20.0;

/// How rarity of one kind of entity is measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The kind.
    pub kind: EntityKind,
    /// Who sees it, in the plural: "devices and principals".
    pub observers: String,
    /// The most that a shared entity of this kind can say.
    #[serde(default = "one")]
    pub ceiling: f64,
    /// KQL that yields `Entity` and `Seen`, the number of its observers, and may yield `Crowd`, how many act under that
    /// name; none where nothing needs measuring.
    #[serde(default)]
    pub query: Option<String>,
    /// KQL that yields `Total`, the number of all observers.
    #[serde(default)]
    pub population: Option<String>,
}

fn one() -> f64 {
    1.0
}

/// How many see an entity, and how many act under its name.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    seen: f64,
    crowd: f64,
}

/// How much one entity says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rarity {
    /// Between 0 and 1.
    pub(super) weight: f64,
    /// In words.
    pub(super) because: String,
}

/// How much each entity says.
#[derive(Debug, Default)]
pub(super) struct Rarities {
    measured: HashMap<Entity, Rarity>,
    unmeasured: BTreeMap<EntityKind, f64>,
}

impl Rarities {
    /// Measures the entities. A measure that fails leaves its kind at half its ceiling, and is reported.
    pub(super) async fn measure(
        engine: &Engine,
        catalog: &Arc<dyn Catalog>,
        measures: &[Measure],
        entities: &BTreeSet<Entity>,
        options: &QueryOptions,
    ) -> (Self, Vec<String>) {
        let mut rarities = Self::default();
        let mut problems = Vec::new();
        let of_kind = |kind| entities.iter().filter(move |entity| entity.kind() == kind);
        let asked: Vec<&Measure> =
            measures.iter().filter(|measure| of_kind(measure.kind).next().is_some()).collect();
        let asking = |measure: Measure| {
            let (engine, catalog, options) = (engine.clone(), Arc::clone(catalog), options.clone());
            async move { measure.run(&engine, &catalog, &options).await }
        };
        let runs = in_tasks(asked.iter().copied().cloned().map(asking).collect());
        for (place, counted) in runs.collect::<BTreeMap<_, _>>().await {
            let measure = asked[place];
            match counted.map_err(|error| error.to_string()).flatten() {
                Ok((counts, total)) => {
                    for entity in of_kind(measure.kind) {
                        let count = counts.get(entity).copied().unwrap_or_default();
                        rarities.measured.insert(entity.clone(), measure.rarity(count, total));
                    }
                }
                Err(problem) => {
                    problems.push(format!("rarity of {}: {problem}", measure.kind));
                    rarities.unmeasured.insert(measure.kind, measure.ceiling / 2.0);
                }
            }
        }
        (rarities, problems)
    }

    /// How much the entity says.
    pub(super) fn of(&self, entity: &Entity) -> Rarity {
        self.measured.get(entity).cloned().unwrap_or_else(|| Rarity {
            weight: self.unmeasured.get(&entity.kind()).copied().unwrap_or(0.5),
            because: "how common it is could not be measured".to_owned(),
        })
    }
}

impl Measure {
    async fn run(
        &self,
        engine: &Engine,
        catalog: &Arc<dyn Catalog>,
        options: &QueryOptions,
    ) -> Result<(HashMap<Entity, Count>, f64), String> {
        let mut counts: HashMap<Entity, Count> = HashMap::new();
        if let Some(text) = &self.query {
            let rows = query::rows(engine, catalog, text, options).await?;
            for row in rows.rows {
                let entity = row.get("Entity").and_then(|value| value.as_str());
                if let Some(entity) = entity.and_then(|text| Entity::new(self.kind, text)) {
                    let count = counts.entry(entity).or_default();
                    count.seen += query::number(&row, "Seen").unwrap_or_default();
                    count.crowd = count.crowd.max(query::number(&row, "Crowd").unwrap_or_default());
                }
            }
        }
        let total = match &self.population {
            Some(text) => {
                let rows = query::rows(engine, catalog, text, options).await?.rows;
                rows.first().and_then(|row| query::number(row, "Total")).unwrap_or_default()
            }
            None => 0.0,
        };
        Ok((counts, total))
    }

    /// The surprise that one observer sees it, −ln(seen ÷ total), as a share of the greatest surprise possible. Where
    /// a crowd acts under one name, two findings about it mean the same one of them as rarely as one in the crowd.
    fn rarity(&self, count: Count, total: f64) -> Rarity {
        if self.query.is_none() {
            return Rarity { weight: self.ceiling, because: format!("one {}", self.observers) };
        }
        let (seen, crowd) = (count.seen.max(1.0), count.crowd.max(1.0));
        let total = total.max(seen);
        let surprise = (1.0 - seen.ln() / total.max(FEWEST_OBSERVERS).ln()).clamp(0.0, 1.0);
        let mut because = format!("seen by {seen} of {total} {}", self.observers);
        if crowd > 1.0 {
            because.push_str(&format!(", {crowd} act under that name"));
        }
        Rarity { weight: self.ceiling * surprise / crowd, because }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_in_many_sees_says_much_and_what_all_see_says_nothing() {
        let measure = |ceiling| Measure {
            kind: EntityKind::Ip,
            observers: "devices".to_owned(),
            ceiling,
            query: Some(String::new()),
            population: None,
        };
        let by = |seen| Count { seen, crowd: 0.0 };
        assert_eq!(measure(1.0).rarity(by(1.0), 500.0).weight, 1.0);
        assert_eq!(measure(1.0).rarity(by(500.0), 500.0).weight, 0.0);
        assert_eq!(measure(0.3).rarity(by(0.0), 0.0).weight, 0.3);
        assert_eq!(measure(1.0).rarity(Count { seen: 1.0, crowd: 4.0 }, 500.0).weight, 0.25);
        let two = measure(1.0).rarity(by(2.0), 500.0).weight;
        let hundred = measure(1.0).rarity(by(100.0), 500.0).weight;
        assert!(two > 0.85 && hundred < 0.3, "{two} {hundred}");
        assert_eq!(measure(1.0).rarity(by(2.0), 500.0).because, "seen by 2 of 500 devices");
    }
}
