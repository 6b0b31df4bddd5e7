//! The searches. All of them count the cells that they look at, and stop at a bound.

use std::collections::BTreeMap;

use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::table::{ANY, Table, add};

/// The share of all rows below which `autocluster` does not look at a value.
const RARE: f64 = 0.005;
/// The most cells that one search looks at.
const MAX_WORK: u64 = 5_000_000_000;
/// How many cells are looked at before others get their turn.
const WORK_AT_ONCE: u64 = 5_000_000;
/// The most patterns that `basket` gives.
const MAX_PATTERNS: usize = 100_000;
/// The most values from which `diffpatterns` begins.
const MAX_SEEDS: usize = 100;

/// A pattern, and the weight of the rows that it fits.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// A code for each dimension, or [`ANY`].
    pub(super) codes: Vec<u32>,
    pub(super) weight: [f64; 2],
}

/// A pattern with the rows that it fits.
struct Group {
    codes: Vec<u32>,
    weight: [f64; 2],
    rows: Vec<u32>,
}

impl Group {
    fn found(self) -> Found {
        Found { codes: self.codes, weight: self.weight }
    }
}

/// The least weight of a pattern of `autocluster`: what occurs once is nothing that rows share.
pub(super) fn least_shared(total: f64) -> f64 {
    (RARE * total).max(2.0)
}

/// A search over a table.
pub(super) struct Search<'a> {
    name: &'static str,
    table: &'a Table,
    memory: &'a MemoryReservation,
    work: u64,
    rested: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(name: &'static str, table: &'a Table, memory: &'a MemoryReservation) -> Self {
        Search { name, table, memory, work: 0, rested: 0 }
    }

    fn width(&self) -> usize {
        self.table.columns.len()
    }

    /// Counts cells looked at, and now and then lets others work; a query that is cancelled ends there.
    async fn count(&mut self, cells: usize) -> Result<()> {
        self.work += cells as u64;
        if self.work > MAX_WORK {
            return exec_err!(
                "{}: there are too many combinations; project the columns that matter, raise the threshold, \
                 or lower the number of dimensions",
                self.name
            );
        }
        if self.work - self.rested > WORK_AT_ONCE {
            self.rested = self.work;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The few patterns that weigh coverage against the number of columns they fix best.
    ///
    /// From each seed, a frequent value, a pattern grows by the value that betters its score most, until none does. The
    /// score is the geometric mean of its share of the rows and its share of the columns, with the given weights.
    pub(super) async fn auto_cluster(&mut self, size_weight: f64, seeds: usize) -> Result<Vec<Found>> {
        let (total, width) = (self.table.totals[0], self.width());
        let score = |weight: [f64; 2], fixed: usize| {
            if weight[0] < least_shared(total) {
                return 0.0;
            }
            let coverage = weight[0] / total;
            coverage.powf(size_weight) * (fixed as f64 / width as f64).powf(1.0 - size_weight)
        };
        let mut found = Vec::new();
        for seed in self.seeds(seeds, |weight| weight[0]).await? {
            let seed = self.group(seed).await?;
            found.push(self.grow(seed, width, score).await?.found());
        }
        self.different(found, |found| score(found.weight, fixed(&found.codes))).await
    }

    /// Patterns whose shares of the two sets differ by the threshold or more.
    ///
    /// From each seed a pattern grows by the value that widens the difference most, until none does; then it takes on the
    /// values that all its rows have.
    pub(super) async fn differences(&mut self, threshold: f64, max_dimensions: usize) -> Result<Vec<Found>> {
        let totals = self.table.totals;
        let share = move |weight: f64, total: f64| if total > 0.0 { weight / total } else { 0.0 };
        let difference =
            move |weight: [f64; 2]| (share(weight[0], totals[0]) - share(weight[1], totals[1])).abs();
        let mut found = Vec::new();
        for seed in self.seeds(MAX_SEEDS, difference).await? {
            let seed = self.group(seed).await?;
            let mut group = self.grow(seed, max_dimensions, |weight, _| difference(weight)).await?;
            if difference(group.weight) >= threshold {
                self.close(&mut group).await?;
                found.push(group.found());
            }
        }
        self.different(found, |found| difference(found.weight)).await
    }

    /// All patterns of at least the given share of the rows.
    ///
    /// Those that fit the same rows are one, with all that the rows share; only what cannot be told from the rest counts
    /// towards its dimensions.
    pub(super) async fn basket(&mut self, threshold: f64, max_dimensions: usize) -> Result<Vec<Found>> {
        let (table, width) = (self.table, self.width());
        let least = threshold * table.totals[0];
        if table.weights.is_empty() {
            return Ok(Vec::new());
        }
        // On each level the rows of one pattern, and those of its parts by one column.
        let levels = max_dimensions.min(width) + 1;
        self.memory
            .try_grow(levels.saturating_mul(2 * size_of::<u32>()).saturating_mul(table.weights.len()))?;
        let mut patterns: BTreeMap<Vec<u32>, [f64; 2]> = BTreeMap::new();
        let all = Group { codes: vec![ANY; width], weight: table.totals, rows: self.all_rows() };
        let mut levels = vec![Level { group: all, column: 0, parts: Vec::new() }];
        while let Some(level) = levels.last_mut() {
            if let Some(mut group) = level.parts.pop() {
                let next = level.column;
                self.close(&mut group).await?;
                patterns.insert(group.codes.clone(), group.weight);
                if patterns.len() > MAX_PATTERNS {
                    return exec_err!(
                        "basket: more than {MAX_PATTERNS} patterns; raise the threshold, or project fewer columns"
                    );
                }
                if levels.len() < max_dimensions && next < width {
                    levels.push(Level { group, column: next, parts: Vec::new() });
                }
            } else if level.column < width {
                let column = level.column;
                level.column += 1;
                if level.group.codes[column] == ANY {
                    let rows = level.group.rows.len();
                    level.parts = parts(table, &level.group, column);
                    level.parts.retain(|part| part.weight[0] >= least);
                    self.count(rows).await?;
                }
            } else {
                levels.pop();
            }
        }
        let mut found: Vec<Found> =
            patterns.into_iter().map(|(codes, weight)| Found { codes, weight }).collect();
        found.sort_by(|left, right| right.weight[0].total_cmp(&left.weight[0]));
        Ok(found)
    }

    fn all_rows(&self) -> Vec<u32> {
        // There are far fewer rows than the cells that are let in.
        (0..self.table.weights.len() as u32).collect()
    }

    /// The values that are best by a measure, each a pattern.
    async fn seeds(&mut self, most: usize, measure: impl Fn([f64; 2]) -> f64) -> Result<Vec<Vec<u32>>> {
        let table = self.table;
        let mut seeds: Vec<(f64, usize, u32)> = Vec::new();
        let all = self.all_rows();
        for column in 0..table.columns.len() {
            let values = weights_of(table, &all, column);
            seeds.extend(values.map(|(code, weight)| (measure(weight), column, code)));
            self.count(all.len()).await?;
        }
        seeds.sort_by(|left, right| {
            right.0.total_cmp(&left.0).then_with(|| (left.1, left.2).cmp(&(right.1, right.2)))
        });
        seeds.truncate(most);
        let pattern = |(_, column, code): (f64, usize, u32)| {
            let mut codes = vec![ANY; table.columns.len()];
            codes[column] = code;
            codes
        };
        Ok(seeds.into_iter().map(pattern).collect())
    }

    /// The pattern with the values that better its score most, one after another, until it fixes so many columns.
    async fn grow(
        &mut self,
        mut group: Group,
        most: usize,
        score: impl Fn([f64; 2], usize) -> f64,
    ) -> Result<Group> {
        let table = self.table;
        while fixed(&group.codes) < most {
            let columns = fixed(&group.codes) + 1;
            let mut best: Option<(f64, usize, u32)> = None;
            let least = score(group.weight, columns - 1);
            for column in 0..self.width() {
                if group.codes[column] != ANY {
                    continue;
                }
                for (code, weight) in weights_of(table, &group.rows, column) {
                    let score = score(weight, columns);
                    if score > best.map_or(least, |(score, ..)| score) {
                        best = Some((score, column, code));
                    }
                }
                self.count(group.rows.len()).await?;
            }
            let Some((_, column, code)) = best else { break };
            group.codes[column] = code;
            group.rows.retain(|row| table.columns[column][*row as usize] == code);
            group.weight = self.weight_of(&group.rows);
        }
        Ok(group)
    }

    /// Fixes the columns in which all rows of a pattern have one value.
    async fn close(&mut self, group: &mut Group) -> Result<()> {
        let Some(first) = group.rows.first() else { return Ok(()) };
        let mut looked_at = 0;
        for (column, codes) in self.table.columns.iter().enumerate() {
            let code = codes[*first as usize];
            if group.codes[column] == ANY && code != ANY {
                let other = group.rows.iter().position(|row| codes[*row as usize] != code);
                looked_at += other.unwrap_or(group.rows.len());
                if other.is_none() {
                    group.codes[column] = code;
                }
            }
        }
        self.count(looked_at).await
    }

    /// The best patterns by score, without those that mostly repeat better ones: at least half of a pattern's weight has to
    /// be in rows that none before it fits.
    async fn different(
        &mut self,
        mut found: Vec<Found>,
        score: impl Fn(&Found) -> f64,
    ) -> Result<Vec<Found>> {
        found.sort_by(|left, right| {
            score(right).total_cmp(&score(left)).then_with(|| left.codes.cmp(&right.codes))
        });
        found.dedup_by(|left, right| left.codes == right.codes);
        let mut covered = vec![false; self.table.weights.len()];
        let mut different = Vec::new();
        for found in found {
            let group = self.group(found.codes).await?;
            let weight = |row: &u32| self.table.weights[*row as usize].iter().sum::<f64>();
            let new: f64 = group.rows.iter().filter(|row| !covered[**row as usize]).map(weight).sum();
            if 2.0 * new >= group.weight.iter().sum() {
                for row in &group.rows {
                    covered[*row as usize] = true;
                }
                different.push(group.found());
            }
        }
        Ok(different)
    }

    /// A pattern with the rows that it fits.
    async fn group(&mut self, codes: Vec<u32>) -> Result<Group> {
        let mut rows = self.all_rows();
        for (column, code) in codes.iter().enumerate().filter(|(_, code)| **code != ANY) {
            self.count(rows.len()).await?;
            rows.retain(|row| self.table.columns[column][*row as usize] == *code);
        }
        let weight = self.weight_of(&rows);
        Ok(Group { codes, weight, rows })
    }

    fn weight_of(&self, rows: &[u32]) -> [f64; 2] {
        rows.iter().fold([0.0; 2], |sum, row| add(sum, self.table.weights[*row as usize]))
    }
}

/// A pattern of `basket` whose parts are under way.
struct Level {
    group: Group,
    /// The column that comes next; those before it have had their turn.
    column: usize,
    /// Its parts by the last column, those that are still to do.
    parts: Vec<Group>,
}

/// A pattern's parts by the values of a column.
fn parts(table: &Table, group: &Group, column: usize) -> Vec<Group> {
    let mut rows = vec![Vec::new(); table.sizes[column] + 1];
    for row in &group.rows {
        rows[table.columns[column][*row as usize] as usize].push(*row);
    }
    let parts = (0..).zip(rows).skip(1).filter(|(_, rows)| !rows.is_empty());
    let part = |(code, rows): (u32, Vec<u32>)| {
        let mut codes = group.codes.clone();
        codes[column] = code;
        let weight = rows.iter().fold([0.0; 2], |sum, row| add(sum, table.weights[*row as usize]));
        Group { codes, weight, rows }
    };
    parts.map(part).collect()
}

/// The weights of a column's values in some rows, by their codes.
fn weights_of(table: &Table, rows: &[u32], column: usize) -> impl Iterator<Item = (u32, [f64; 2])> {
    // Frequent values are few: no more than the rows, and no more than go into one at the least share.
    let mut weights = vec![[0.0; 2]; table.sizes[column] + 1];
    for row in rows {
        let row = *row as usize;
        let sum = &mut weights[table.columns[column][row] as usize];
        *sum = add(*sum, table.weights[row]);
    }
    (0..).zip(weights).skip(1)
}

/// How many columns a pattern fixes.
fn fixed(codes: &[u32]) -> usize {
    codes.iter().filter(|code| **code != ANY).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
    use proptest::prelude::*;

    use super::*;

    const WIDTH: usize = 3;
    const VALUES: u32 = 3;

    /// Rows of a few values, each with a weight in both sets.
    fn tables() -> impl Strategy<Value = Table> {
        let row = (proptest::array::uniform3(0..=VALUES), 0_u32..4, 0_u32..4);
        proptest::collection::vec(row, 0..12).prop_map(|rows| {
            let columns = (0..WIDTH).map(|column| rows.iter().map(|(codes, ..)| codes[column]).collect());
            let weights: Vec<[f64; 2]> =
                rows.iter().map(|(_, a, b)| [f64::from(*a) + 1.0, f64::from(*b)]).collect();
            let totals = weights.iter().fold([0.0; 2], |sum, weight| add(sum, *weight));
            Table { columns: columns.collect(), sizes: vec![VALUES as usize; WIDTH], weights, totals }
        })
    }

    fn run<T>(table: &Table, work: impl AsyncFnOnce(Search<'_>) -> Result<T>) -> T {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let memory = MemoryConsumer::new("test").register(&pool);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(work(Search::new("test", table, &memory))).expect("within the bounds")
    }

    /// The rows that a pattern fits.
    fn fitting(table: &Table, codes: &[u32]) -> Vec<usize> {
        let fits = |row: &usize| {
            (0..WIDTH).all(|column| codes[column] == ANY || codes[column] == table.columns[column][*row])
        };
        (0..table.weights.len()).filter(fits).collect()
    }

    fn weight(table: &Table, rows: &[usize]) -> [f64; 2] {
        rows.iter().fold([0.0; 2], |sum, row| add(sum, table.weights[*row]))
    }

    proptest! {
        #[test]
        fn basket_finds_all_frequent_patterns_each_with_what_its_rows_share(table in tables()) {
            let least = 0.2 * table.totals[0];
            let mut expected = BTreeSet::new();
            for number in 1..(VALUES + 1).pow(3) {
                let codes = [number % 4, number / 4 % 4, number / 16];
                let rows = fitting(&table, &codes);
                if !rows.is_empty() && weight(&table, &rows)[0] >= least {
                    let shared = (0..WIDTH).map(|column| {
                        let code = table.columns[column][rows[0]];
                        let all = rows.iter().all(|row| table.columns[column][*row] == code);
                        if all { code } else { ANY }
                    });
                    expected.insert(shared.collect::<Vec<u32>>());
                }
            }
            let found = run(&table, async |mut search| search.basket(0.2, WIDTH).await);
            for pattern in &found {
                prop_assert_eq!(pattern.weight, weight(&table, &fitting(&table, &pattern.codes)));
            }
            prop_assert_eq!(found.into_iter().map(|found| found.codes).collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn the_figures_of_every_pattern_are_those_of_its_rows(table in tables(), size_weight in 0.0..1.0) {
            let clusters = run(&table, async |mut search| search.auto_cluster(size_weight, 25).await);
            let differences = run(&table, async |mut search| search.differences(0.1, WIDTH).await);
            for pattern in clusters.iter().chain(&differences) {
                prop_assert!(fixed(&pattern.codes) > 0);
                prop_assert_eq!(pattern.weight, weight(&table, &fitting(&table, &pattern.codes)));
            }
            for pattern in &differences {
                let share = |set: usize| pattern.weight[set] / table.totals[set].max(1.0);
                prop_assert!((share(0) - share(1)).abs() >= 0.1 - 1e-9);
            }
        }
    }
}
