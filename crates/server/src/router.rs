//! Every route, by resource. Each has its operation in the OpenAPI document, but for what belongs to the pages themselves.

use crate::api::{
    agents, approvals, audit, docs, events, gates, grants, health, keys, lanes, metrics, responses,
    results, runs, sessions, threads, usage, whoami,
};
use crate::app::App;
use crate::console;
use crate::problem::{Code, Problem};
use axum::Router;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes with their state. Requests are prepared and answers finished in `front`.
pub fn router(app: App) -> Router {
    if !app.settings.serves_api {
        let (router, _) = of_the_server().split_for_parts();
        let message = "This server only carries runs; ask one that answers.";
        return router
            .fallback(async move || Problem::saying(Code::route_not_found, message))
            .with_state(app);
    }
    let (router, _) = documented().split_for_parts();
    let turn = || post(responses::create_response_alias);
    router
        .route("/api/v1/agents/sessions/{session_id}/turns", turn())
        .route("/api/v1/agents/sessions/{session_id}/responses", turn())
        .route("/docs/{*path}", get(crate::docs::get_page))
        .route("/docs/docs.js", get(docs::get_docs_script))
        .route("/docs/docs.css", get(docs::get_docs_style))
        .route("/console/tickets", post(console::tickets::create_ticket))
        .route("/console/sign-in", post(console::tickets::sign_in))
        .merge(console::router())
        .fallback(|| async { Problem::new(Code::route_not_found) })
        .method_not_allowed_fallback(|| async { Problem::new(Code::method_not_allowed) })
        .with_state(app)
}

/// The routes with their descriptions.
pub fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(agents::list_agents))
        .routes(routes!(gates::overrule_gate))
        .routes(routes!(gates::list_gate_cases))
        .routes(routes!(lanes::list_lanes))
        .routes(routes!(lanes::explain_lanes))
        .routes(routes!(threads::create_thread, threads::list_threads))
        .routes(routes!(
            threads::get_thread,
            threads::update_thread,
            threads::delete_thread
        ))
        .routes(routes!(threads::fork_thread))
        .routes(routes!(runs::create_run))
        .routes(routes!(runs::list_runs))
        .routes(routes!(runs::get_run))
        .routes(routes!(runs::cancel_run))
        .routes(routes!(events::stream_run_events))
        .routes(routes!(results::get_result))
        .routes(routes!(approvals::list_approvals))
        .routes(routes!(approvals::stream_approvals))
        .routes(routes!(approvals::get_approval))
        .routes(routes!(approvals::resolve_approval))
        .routes(routes!(grants::list_grants))
        .routes(routes!(grants::get_grant, grants::revoke_grant))
        .routes(routes!(audit::list_audit))
        .routes(routes!(whoami::get_whoami))
        .routes(routes!(
            sessions::create_session,
            sessions::list::list_sessions
        ))
        .routes(routes!(sessions::get_session))
        .routes(routes!(
            sessions::token::create_session_token,
            sessions::token::revoke_session_token
        ))
        .routes(routes!(sessions::lane::update_session_lane))
        .routes(routes!(sessions::execute_tool))
        .routes(routes!(responses::create_response))
        .routes(routes!(sessions::steps::create_steps))
        .routes(routes!(sessions::complete_session))
        .routes(routes!(usage::get_usage))
        .routes(routes!(keys::create_key, keys::list_keys))
        .routes(routes!(keys::revoke_key))
        .routes(routes!(docs::get_pointer))
        .routes(routes!(docs::get_openapi))
        .routes(routes!(docs::get_docs))
        .routes(routes!(docs::get_reference))
        .merge(of_the_server())
}

/// For those who look after the server; also one that answers nobody else has these.
fn of_the_server() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
        .routes(routes!(metrics::get_metrics))
}
