//! Progress bars with the time left, on stderr; silent where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one phase.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over `total` pieces of work of which `done` are done, or none at all if `visible` is false.
    pub fn new(what: &str, total: u64, done: u64, visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_position(done);
        let style = ProgressStyle::with_template("{prefix:>11} {bar:28} {pos}/{len} · {eta} left · {wide_msg}")
            .expect("the template is valid");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_secs(1));
        bar.reset_eta();
        Self { bar }
    }

    /// Whether bars are shown.
    pub fn visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// One more evaluation is stored.
    pub fn evaluated(&self) {
        self.bar.inc(1);
    }

    /// So much is done.
    pub fn reach(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// What is going on, behind the bar.
    pub fn note(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Prints a line above the bar, or plainly where there is none.
    pub fn line(&self, message: &str) {
        if self.bar.is_hidden() {
            eprintln!("{message}");
        } else {
            self.bar.println(message);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
