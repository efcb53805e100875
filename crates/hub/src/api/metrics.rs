//! For Prometheus, and for whoever asks whether the hub is well.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fleet::{Driver, Freshness, LinkState};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::problem::{Problem, Words};
use crate::hub::{Hub, now};
use crate::variables::CacheState;
use crate::who::Who;

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct OfServer {
    server: String,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct OfPeers {
    server: String,
    driver: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct OfCache {
    cache: String,
}

type Of<L> = Family<L, Gauge>;
/// What only grows, while the hub runs.
type Ever<L> = Family<L, Counter>;
type Fraction<L> = Family<L, Gauge<f64, AtomicU64>>;

/// What Prometheus reads (viewer's token).
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn metrics(State(hub): State<Arc<Hub>>, _: Who) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("tandem");
    fleet_metrics(&hub, &mut registry);
    if let Some(variables) = hub.variables.clone() {
        let caches = tokio::task::spawn_blocking(move || variables.caches()).await;
        cache_metrics(&caches.map_err(Problem::ended)?, &mut registry);
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes all");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn fleet_metrics(hub: &Hub, registry: &mut Registry) {
    let (link, ami) = (Of::<OfServer>::default(), Of::<OfServer>::default());
    let (calls, drift) = (Of::<OfServer>::default(), Ever::<OfServer>::default());
    let (left_out, failed) = (Ever::<OfServer>::default(), Ever::<OfServer>::default());
    let (peers, messages) = (Of::<OfPeers>::default(), Of::<OfServer>::default());
    let host_load = Fraction::<OfServer>::default();
    let (round_trip, age) = (Fraction::<OfServer>::default(), Fraction::<OfServer>::default());
    let snapshot = hub.fleet(|fleet| fleet.snapshot());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let counter = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for server in &snapshot.servers {
        let of = OfServer { server: server.name.to_string() };
        link.get_or_create(&of).set(i64::from(server.link.state == LinkState::Up));
        ami.get_or_create(&of).set(i64::from(server.info.connected));
        // What nobody can tell now has no figure, rather than one of long ago.
        let parts = &server.info.parts;
        if parts.calls == Freshness::Live {
            calls.get_or_create(&of).set(count(server.calls.len()));
        }
        drift.get_or_create(&of).inc_by(server.info.drift);
        left_out.get_or_create(&of).inc_by(server.info.left_out);
        failed.get_or_create(&of).inc_by(server.info.requests_failed);
        // Without a list of them, those that peers name are asked about one by one.
        let is_asked = parts.mailboxes == Freshness::NotOffered
            && server.info.connected
            && !server.mailboxes.is_empty();
        if parts.mailboxes == Freshness::Live || is_asked {
            let new = server.mailboxes.iter().map(|mailbox| counter(mailbox.new)).sum();
            messages.get_or_create(&of).set(new);
        }
        if let Some(micros) = server.link.round_trip_us {
            round_trip.get_or_create(&of).set(micros as f64 / 1e6);
        }
        if let Some(load) = server.link.load_milli {
            host_load.get_or_create(&of).set(f64::from(load) / 1e3);
        }
        if let Some(at) = server.info.reconciled_ms {
            age.get_or_create(&of).set(now().ms.saturating_sub(at.ms) as f64 / 1e3);
        }
        for peer in &server.peers {
            let part = match peer.id.driver {
                Driver::Pjsip => parts.contacts,
                Driver::Iax2 => parts.iax2,
                Driver::Sip => parts.sip,
            };
            if part == Freshness::Live {
                let (driver, state) = (peer.id.driver.word(), peer.registration.word());
                peers.get_or_create(&OfPeers { server: of.server.clone(), driver, state }).inc();
            }
        }
    }
    registry.register("link_up", "Whether the server's agent, or its AMI, is connected", link);
    registry.register("ami_up", "Whether there is a session with Asterisk's AMI", ami);
    registry.register("calls", "Calls now", calls);
    registry.register("peers", "Peers by state", peers);
    registry.register("voicemail_new", "Messages not listened to", messages);
    registry.register("drift", "Things that were otherwise than events had said", drift);
    registry.register("left_out", "Things that did not fit the limits", left_out);
    registry.register("requests_failed", "Requests that Asterisk did not answer well", failed);
    registry.register("link_round_trip_seconds", "To Asterisk and back", round_trip);
    registry.register("host_load", "The load of the machine in the last minute", host_load);
    registry.register("reconciled_age_seconds", "Since all was compared with the server", age);
}

fn cache_metrics(caches: &[crate::variables::Cache], registry: &mut Registry) {
    let (ready, errors) = (Of::<OfCache>::default(), Ever::<OfCache>::default());
    for cache in caches {
        let of = OfCache { cache: cache.address.clone() };
        ready.get_or_create(&of).set(i64::from(cache.state == CacheState::Ready));
        errors.get_or_create(&of).inc_by(cache.errors);
    }
    registry.register("cache_ready", "Whether the cache server can tell of everything", ready);
    registry.register("cache_errors", "Connections lost, and replies that were none", errors);
}

/// Whether the hub is well: its database answers.
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, body = String), (status = 503, body = Words)))]
pub(super) async fn healthz(
    State(hub): State<Arc<Hub>>,
) -> Result<(StatusCode, &'static str), Problem> {
    hub.db
        .run(|db| db.query_row("SELECT count(*) FROM user", [], |row| row.get::<_, i64>(0)))
        .await?;
    Ok((StatusCode::OK, "ok\n"))
}
