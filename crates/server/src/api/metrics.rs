//! Numbers about this process, in Prometheus' text form (version 0.0.4). No org is named in them: anybody may ask, and
//! orgs are without bound.

use crate::app::App;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use domain::lane::{LaneHealth, LaneKind};
use engine::Timings;
use std::fmt::Write;

/// Numbers for Prometheus
///
/// Counters begin anew with the process. Runs are counted where they are made and where their end is written.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "server",
    responses((status = 200, description = "The numbers.", content_type = "text/plain", body = String)),
    security(())
)]
pub async fn get_metrics(State(app): State<App>) -> Response {
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, page(&app)).into_response()
}

fn page(app: &App) -> String {
    let counts = app.engine.counts();
    let mut page = Page::default();
    page.family("runyard_build_info", "gauge", "The version that runs.");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.line("runyard_build_info", &version, 1);
    page.family("runyard_runs_started_total", "counter", "Runs made here.");
    page.line("runyard_runs_started_total", &[], counts.runs_started);
    page.family(
        "runyard_runs_ended_total",
        "counter",
        "Runs whose end was written here, by how they ended.",
    );
    for (status, count) in counts.runs_ended {
        let labels = [("status", status.as_str())];
        page.line("runyard_runs_ended_total", &labels, count);
    }
    page.family("runyard_runs_active", "gauge", "Runs at work here.");
    page.line("runyard_runs_active", &[], app.engine.active_runs());
    page.family("runyard_streams_open", "gauge", "Streams being read.");
    page.line("runyard_streams_open", &[], app.keys.streams());
    page.family(
        "runyard_lease_renewals_total",
        "counter",
        "Renewals of this server's lease; no more of them means that others take its runs.",
    );
    page.line("runyard_lease_renewals_total", &[], counts.lease_renewals);
    page.timings(
        "runyard_commit_seconds",
        "How long the store took to write a run.",
        &counts.commits,
    );
    page.family(
        "runyard_lane_up",
        "gauge",
        "1 for a lane that turns may go to, 0 for one that is passed over because it fails.",
    );
    for lane in app.models.lanes() {
        let labels = [("lane", lane.name.as_str()), ("kind", kind(lane.kind))];
        let is_up = lane.health == LaneHealth::Healthy;
        page.line("runyard_lane_up", &labels, u8::from(is_up));
    }
    page.0
}

fn kind(kind: LaneKind) -> &'static str {
    match kind {
        LaneKind::Device => "device",
        LaneKind::Local => "local",
        LaneKind::Cloud => "cloud",
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        match labels.as_slice() {
            [] => self.write(format_args!("{name} {value}\n")),
            labels => self.write(format_args!("{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn timings(&mut self, name: &str, help: &str, timings: &Timings) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in &timings.within {
            let bound = bound.as_secs_f64().to_string();
            self.line(&bucket, &[("le", &bound)], count);
        }
        self.line(&bucket, &[("le", "+Inf")], timings.count);
        self.line(&format!("{name}_sum"), &[], timings.sum.as_secs_f64());
        self.line(&format!("{name}_count"), &[], timings.count);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }
}

/// As the form asks of a label's value.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
