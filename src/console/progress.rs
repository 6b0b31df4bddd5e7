//! Progress of long work: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use provost_model::inert;

/// A bar, or a spinner where the end is not known.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Work of so many steps; nothing shows where standard error is no terminal.
    pub fn bar(label: &str, steps: u64) -> Self {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:30} {pos}/{len} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(steps).with_style(style).with_prefix(label.to_owned());
        Self(bar)
    }

    /// Work whose end is not known.
    pub fn spinner(label: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix:>10} {spinner} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style).with_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// One more step.
    pub fn step(&self, text: &str) {
        self.0.inc(1);
        self.say(text);
    }

    /// So many steps of so many are done.
    pub fn at(&self, done: u64, of: u64, text: &str) {
        self.0.set_length(of);
        self.0.set_position(done);
        self.say(text);
    }

    /// What is being done.
    pub fn say(&self, text: &str) {
        self.0.set_message(inert::terminal(text));
    }

    /// Takes it off the screen.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
