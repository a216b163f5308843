//! A row for each figure and a column for each number of servers, with what it is to one server's.

use crate::report::Cell;
use crate::stats;

use super::COUNTS;

pub const COLUMNS: [&str; 6] = ["figure", "1 replica", "2", "3", "2 to 1", "3 to 1"];

/// What each number of servers has shown, by rounds.
pub type Samples<S> = [Vec<S>; COUNTS.len()];

/// The medians over the rounds, and the medians of the ratios of each round.
pub fn row<S>(
    what: impl Into<String>,
    decimals: usize,
    samples: &Samples<S>,
    part: impl Fn(&S) -> Option<f64>,
) -> Vec<Cell> {
    let mut cells = vec![Cell::text(what)];
    for of_count in samples {
        cells.push(Cell::maybe(median(of_count, &part), decimals));
    }
    let [one, more @ ..] = samples;
    for of_count in more {
        let rounds = of_count.iter().zip(one);
        let ratios = rounds.filter_map(|(own, one)| ratio(part(own)?, part(one)?));
        cells.push(Cell::maybe(median_of(ratios.collect()), 2));
    }
    cells
}

/// The median over the rounds in which it is known.
pub fn median<S>(samples: &[S], part: impl Fn(&S) -> Option<f64>) -> Option<f64> {
    median_of(samples.iter().filter_map(part).collect())
}

fn ratio(own: f64, one: f64) -> Option<f64> {
    (one > 0.0).then(|| own / one)
}

fn median_of(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| stats::median(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(samples: &Samples<Option<f64>>) -> Vec<String> {
        let cells = row("x", 1, samples, |sample| *sample);
        cells.iter().map(Cell::to_string).collect()
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let round = |values: [f64; 3]| values.map(Some).to_vec();
        let samples = [
            round([10.0, 20.0, 40.0]),
            round([20.0, 20.0, 20.0]),
            round([10.0, 40.0, 120.0]),
        ];
        // The second's rounds are 2, 1 and 0.5 times the first's.
        assert_eq!(
            text(&samples),
            ["x", "20.0", "20.0", "40.0", "1.00", "2.00"]
        );
    }

    #[test]
    fn what_is_unknown_stays_empty() {
        let samples = [vec![Some(0.0)], vec![None], vec![Some(3.0)]];
        assert_eq!(text(&samples), ["x", "0.0", "–", "3.0", "–", "–"]);
    }
}
