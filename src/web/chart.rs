//! Charts as SVG paths in a field of 1000 by 1000, stretched by the page. Colours are classes.

use std::fmt::Write;

use crate::web::state::Bar;

const FIELD: f64 = 1000.0;

/// What lies behind every chart of a page.
pub struct Ground {
    pub asleep: Vec<Bar>,
    pub markers: Vec<Marker>,
}

/// A moment worth a line through all charts.
pub struct Marker {
    /// In percent from the left.
    pub x: String,
    pub word: String,
    /// A crash, not a release.
    pub bad: bool,
}

impl Ground {
    /// Whether a kind of marker is there, for the legend.
    pub fn has(&self, bad: bool) -> bool {
        self.markers.iter().any(|marker| marker.bad == bad)
    }
}

/// One line or one layer of a chart.
pub struct Series {
    pub class: String,
    /// Empty when there is only one.
    pub word: String,
    pub path: String,
    /// An area is filled, a line is not.
    pub filled: bool,
}

/// A line across the chart with what it means.
pub struct Limit {
    pub y: String,
    pub word: String,
}

/// One chart.
pub struct Chart {
    pub title: String,
    /// What the top of the chart stands for, with its unit; empty when there is nothing to show.
    pub top: String,
    pub series: Vec<Series>,
    pub limit: Option<Limit>,
    unit: &'static str,
    most: f64,
    values: Vec<(String, Vec<Option<f64>>)>,
}

impl Chart {
    /// Lines over the same points; a missing value breaks its line.
    pub fn lines(title: String, unit: &'static str, values: &[(&str, Vec<Option<f64>>)]) -> Chart {
        let values: Vec<_> = values.iter().map(|(word, values)| ((*word).to_owned(), values.clone())).collect();
        let most = values.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
        Chart { title, top: String::new(), series: Vec::new(), limit: None, unit, most, values }.drawn()
    }

    /// With a line at this value, which the chart is high enough for.
    pub fn limited(mut self, at: f64, word: String) -> Chart {
        if self.most > 0.0 {
            self.most = self.most.max(at);
            self = self.drawn();
            self.limit = Some(Limit { y: format!("{:.1}", (1.0 - at / ceiling(self.most)) * 100.0), word });
        }
        self
    }

    fn drawn(mut self) -> Chart {
        let top = ceiling(self.most);
        let series = self.values.iter().enumerate();
        self.series = series
            .map(|(index, (word, values))| Series {
                class: format!("s{index}"),
                word: word.clone(),
                path: line(values, top),
                filled: false,
            })
            .collect();
        self.top = if self.most > 0.0 { format!("{} {}", plain(top), self.unit) } else { String::new() };
        self
    }
}

/// Counts in layers, a bar a point.
pub fn stacked<const N: usize>(title: String, words: [String; N], points: &[[f64; N]]) -> Chart {
    let most = points.iter().map(|layers| layers.iter().sum::<f64>()).fold(0.0, f64::max);
    let top = ceiling(most);
    let width = FIELD / points.len().max(1) as f64;
    let series = words.into_iter().enumerate().map(|(layer, word)| {
        let mut path = String::new();
        for (index, layers) in points.iter().enumerate().filter(|(_, layers)| layers[layer] > 0.0) {
            let bottom = FIELD - layers[..layer].iter().sum::<f64>() / top * FIELD;
            let height = layers[layer] / top * FIELD;
            let (x, wide) = ((index as f64 + 0.1) * width, width * 0.8);
            let _ = write!(path, "M{x:.1} {bottom:.1}h{wide:.1}v-{height:.1}h-{wide:.1}z");
        }
        Series { class: format!("c{}", layer + 2), word, path, filled: true }
    });
    let series = series.collect();
    let text = if most > 0.0 { plain(top) } else { String::new() };
    Chart { title, top: text, series, limit: None, unit: "", most, values: Vec::new() }
}

fn line(values: &[Option<f64>], top: f64) -> String {
    let width = FIELD / values.len().max(1) as f64;
    let mut path = String::new();
    let mut alone = true;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            alone = true;
            continue;
        };
        let (x, y) = ((index as f64 + 0.5) * width, FIELD - value / top * FIELD);
        // A point without neighbours is a short dash.
        let last = values.get(index + 1).copied().flatten().is_none();
        match (alone, last) {
            (true, true) => drop(write!(path, "M{:.1} {y:.1}h{width:.1}", x - width / 2.0)),
            (true, false) => drop(write!(path, "M{x:.1} {y:.1}")),
            (false, _) => drop(write!(path, "L{x:.1} {y:.1}")),
        }
        alone = false;
    }
    path
}

/// The next round number above a value: the top of its chart.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= most).unwrap_or(power * 10.0)
}

fn plain(value: f64) -> String {
    if value >= 1.0 { format!("{value:.0}") } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let values = vec![Some(0.0), Some(10.0), None, Some(5.0)];
        let chart = Chart::lines("t".into(), "ms", &[("p50", values)]);
        assert_eq!((chart.series[0].path.as_str(), chart.top.as_str()), ("M125.0 1000.0L375.0 0.0M750.0 500.0h250.0", "10 ms"));
        let empty = Chart::lines("t".into(), "ms", &[("", vec![None; 9])]).limited(512.0, "512 MB".into());
        assert!(empty.top.is_empty() && empty.limit.is_none() && empty.series[0].path.is_empty());
    }

    #[test]
    fn the_limit_is_always_in_the_picture() {
        let chart = Chart::lines("t".into(), "MB", &[("", vec![Some(90.0)])]).limited(512.0, "512 MB".into());
        assert_eq!((chart.top.as_str(), chart.limit.unwrap().y.as_str()), ("600 MB", "14.7"));
    }

    #[test]
    fn layers_stand_on_each_other() {
        let chart = stacked("t".into(), ["2xx".into(), "5xx".into()], &[[3.0, 1.0], [0.0, 0.0]]);
        assert_eq!(chart.top, "4");
        assert_eq!(chart.series[0].path, "M50.0 1000.0h400.0v-750.0h-400.0z");
        assert_eq!(chart.series[1].path, "M50.0 250.0h400.0v-250.0h-400.0z");
        assert_eq!([0.5, 1.0, 1.2, 230.0].map(ceiling), [0.5, 1.0, 2.0, 300.0]);
    }
}
