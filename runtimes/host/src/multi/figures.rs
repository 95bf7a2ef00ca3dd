//! The part of the metrics page that is about apps. However many there are, it is not longer than [`NAMED_MAX`] of them.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::Multi;
use super::app::{App, CLASSES, Counts};

/// Apps that have figures of their own: those with most executions. The others are added up as `other`.
const NAMED_MAX: usize = 100;

impl Multi {
    /// Figures of the host as a whole: name, help and value.
    pub(crate) fn gauges(&self) -> Vec<(&'static str, &'static str, f64)> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner).len();
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).len();
        vec![
            ("apps", "Apps that are served", apps as f64),
            ("apps_loaded", "Apps that are loaded", loaded as f64),
            ("apps_refused", "Entries of the folder that are not served", self.refused.load(Ordering::Relaxed) as f64),
            (
                "apps_unloads",
                "Times an app was let go of, since the start",
                self.unloads.load(Ordering::Relaxed) as f64,
            ),
            ("places_busy", "Executions of all apps together", self.gate_busy() as f64),
            ("places", "Executions of all apps that may run at once", f64::from(self.limits.max_concurrency)),
        ]
    }

    /// Figures by app, as lines of the metrics page.
    pub(crate) fn figures(&self) -> String {
        let apps: Vec<Arc<App>> =
            self.apps.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        let sum = |counts: &Counts| counts.by_class().iter().sum::<u64>();
        let mut used: Vec<(u64, &Arc<App>)> =
            apps.iter().map(|app| (sum(&app.counts), app)).filter(|(count, _)| *count > 0).collect();
        used.sort_by(|(a, one), (b, two)| b.cmp(a).then_with(|| one.label.cmp(&two.label)));
        let named = used.len().min(NAMED_MAX);
        let mut rows: Vec<Row> = used[..named].iter().map(|(_, app)| Row::of(app)).collect();
        if used.len() > named {
            let mut other = Row::default();
            used[named..].iter().for_each(|(_, app)| other.add(&Row::of(app)));
            // No app can have this name: an app's has a `/`.
            other.name = "other".into();
            rows.push(other);
        }
        page(&rows)
    }
}

#[derive(Default)]
struct Row {
    name: String,
    answers: [u64; 4],
    loads: u64,
    lines_dropped: u64,
    running: usize,
    waiting: u64,
}

impl Row {
    fn of(app: &App) -> Self {
        let (running, waiting) = app.busy();
        Self {
            name: app.function.to_string(),
            answers: app.counts.by_class(),
            loads: app.counts.loads.load(Ordering::Relaxed),
            lines_dropped: app.counts.lines_dropped.load(Ordering::Relaxed),
            running,
            waiting: waiting.into(),
        }
    }

    fn add(&mut self, more: &Self) {
        for (sum, more) in self.answers.iter_mut().zip(more.answers) {
            *sum += more;
        }
        self.loads += more.loads;
        self.lines_dropped += more.lines_dropped;
        self.running += more.running;
        self.waiting += more.waiting;
    }
}

fn page(rows: &[Row]) -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let mut family = |name: &str, kind: &str, help: &str, of: &dyn Fn(&Row) -> Vec<(String, u64)>| {
        let _ = writeln!(page, "# HELP ignite_app_{name} {help}\n# TYPE ignite_app_{name} {kind}");
        for row in rows {
            for (labels, value) in of(row) {
                let suffix = if kind == "counter" { "_total" } else { "" };
                let _ = writeln!(page, "ignite_app_{name}{suffix}{{function_id=\"{}\"{labels}}} {value}", row.name);
            }
        }
    };
    family("executions", "counter", "Executions answered, by app and class of status", &|row| {
        let classes = CLASSES.iter().zip(row.answers).filter(|(_, count)| *count > 0);
        classes.map(|(class, count)| (format!(",class=\"{class}\""), count)).collect()
    });
    family("loads", "counter", "Times the app was loaded", &|row| vec![(String::new(), row.loads)]);
    family("log_lines_dropped", "counter", "Log lines dropped because they were too many", &|row| {
        vec![(String::new(), row.lines_dropped)]
    });
    family("running", "gauge", "Executions that run", &|row| vec![(String::new(), row.running as u64)]);
    family("waiting", "gauge", "Executions that wait for a slot", &|row| vec![(String::new(), row.waiting)]);
    page
}
