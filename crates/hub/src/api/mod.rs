//! The API, a file a resource. Each handler says in its attribute what `/api/openapi.json` says of it.

mod account;
mod actions;
mod agents;
mod audit;
mod body;
mod described;
mod docs;
mod events;
mod history;
mod login;
mod metrics;
mod modules;
mod problem;
mod state;
mod tokens;
mod users;
mod variables;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{any, get};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::hub::Hub;
use crate::who::Operator;
pub(crate) use problem::Problem;

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// The same of those who may set a universal variable: of memcached's largest, with each byte escaped.
const VARIABLE_BODY_MAX_BYTES: usize = 6 * 1024 * 1024 + 1024;
/// How long a request's body may take to arrive, and its answer to be made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tandem",
        description = "Every server's peers, calls and voicemail. Log in for a cookie, or send \
                       `Authorization: Bearer TOKEN`; with a cookie, a request that changes \
                       something carries `X-CSRF-Token`. Errors say what was wrong (`error`) and \
                       what to do (`cure`)."
    ),
    components(schemas(fleet::Change, problem::Words))
)]
struct Described;

/// The resources, and what is said of them.
fn resources() -> (Router<Arc<Hub>>, utoipa::openapi::OpenApi) {
    let (api, mut described) = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(login::session))
        .routes(routes!(account::password))
        .routes(routes!(account::begin_totp))
        .routes(routes!(account::end_totp))
        .routes(routes!(account::confirm_totp))
        .routes(routes!(state::state))
        .routes(routes!(events::events))
        .routes(routes!(actions::hangup))
        .routes(routes!(actions::transfer))
        .routes(routes!(actions::originate))
        .routes(routes!(actions::qualify))
        .routes(routes!(modules::modules))
        .routes(routes!(history::peer))
        .routes(routes!(history::calls))
        .routes(routes!(variables::list))
        .routes(routes!(variables::put, variables::delete))
        .routes(routes!(variables::registrations))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change, users::remove))
        .routes(routes!(tokens::list, tokens::add))
        .routes(routes!(tokens::remove))
        .routes(routes!(agents::list, agents::invite))
        .routes(routes!(agents::remove))
        .routes(routes!(audit::list))
        .routes(routes!(metrics::metrics))
        .routes(routes!(metrics::healthz))
        .split_for_parts();
    described.info.version = env!("CARGO_PKG_VERSION").into();
    described::answers_are_whole(&mut described);
    described::operations_have_names(&mut described);
    described::operations_say_who_may(&mut described);
    (api, described)
}

/// All that the hub answers.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    let (api, described) = resources();
    let json = described.to_json().expect("it has a form in JSON");
    let page = docs::page(&described);
    let openapi = async move || ([(header::CONTENT_TYPE, "application/json")], json);
    Router::new()
        .merge(api)
        .route("/api/openapi.json", get(openapi))
        .route(
            "/api/docs",
            get(async move || ([(header::CONTENT_SECURITY_POLICY, docs::POLICY)], Html(page))),
        )
        .route("/api", any(async || Problem::no_such_place()))
        .route("/api/{*rest}", any(async || Problem::no_such_place()))
        .route(link::AGENT_PATH, get(crate::agents::connect))
        .fallback(crate::pages::page)
        .method_not_allowed_fallback(async || Problem::no_such_method())
        .layer(middleware::from_fn_with_state(Arc::clone(&hub), carry_through))
        .layer(middleware::from_fn(in_time))
        // Bodies are bounded where they are gathered.
        .layer(DefaultBodyLimit::disable())
        .layer(compression())
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::REFERRER_POLICY, "no-referrer"))
        .layer(always(header::X_FRAME_OPTIONS, "DENY"))
        .layer(always(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(always(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .with_state(hub)
}

/// Nothing but what the hub itself sent: no script within a page, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Not events: each must arrive at once.
fn compression() -> CompressionLayer<impl tower_http::compression::predicate::Predicate> {
    let predicate = SizeAbove::new(1024).and(NotForContentType::const_new("text/event-stream"));
    CompressionLayer::new().compress_when(predicate)
}

/// Live pages and agents take as long as they like, once they have begun.
async fn in_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::late().into_response())
}

/// What changes something goes on to its end, and into the audit log, when whoever asked has gone. So its body is
/// gathered before: nobody holds a place by sending none.
async fn carry_through(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let mut limit = BODY_MAX_BYTES;
    if parts.method == Method::PUT {
        // Much is read only of those who may say much.
        if let Err(problem) = Operator::from_request_parts(&mut parts, &hub).await {
            return problem.into_response();
        }
        limit = VARIABLE_BODY_MAX_BYTES;
    }
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Problem::too_large(limit).into_response();
        }
        Err(_) => return Problem::late().into_response(),
    };
    let ended = tokio::spawn(next.run(Request::from_parts(parts, body.into()))).await;
    ended.unwrap_or_else(|error| Problem::ended(error).into_response())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The console's types are made from that file, and whoever reviews a change of the API sees it there.
    #[test]
    fn the_description_is_the_one_that_is_written_down() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let (_, described) = super::resources();
        let json = described.to_pretty_json().expect("it has a form in JSON") + "\n";
        if std::env::var_os("TANDEM_WRITE").is_some() {
            std::fs::write(&path, &json).expect("the file may be written");
        }
        let written = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(written, json, "TANDEM_WRITE=1 cargo test -p hub writes it anew");
    }

    #[test]
    fn every_operation_says_who_may_and_what_each_answer_is() {
        let (_, described) = super::resources();
        let all = serde_json::to_value(&described).expect("it has a form in JSON");
        let mut ids = std::collections::BTreeSet::new();
        for (path, methods) in all["paths"].as_object().expect("paths") {
            for operation in methods.as_object().expect("methods").values() {
                assert!(ids.insert(operation["operationId"].as_str()), "{path}: {operation}");
                assert!(operation["security"].is_array(), "{path}");
                for answer in operation["responses"].as_object().expect("answers").values() {
                    assert_ne!(answer["description"].as_str().unwrap_or_default(), "", "{path}");
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().expect("a name");
                    let is_part = path.contains(&format!("{{{name}}}"));
                    assert_eq!(
                        parameter["in"],
                        if is_part { "path" } else { "query" },
                        "{path} {name}"
                    );
                }
            }
        }
        assert!(ids.len() > 30, "{ids:?}");
    }
}
