//! The API's description, where what is derived from the code does not say enough.

use std::collections::BTreeSet;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder};

use crate::who::COOKIE_NAME;

/// Errors leave out what they have not: see [`super::problem::Words`].
const LEAVES_OUT: &str = "Problem";

/// Fields that may be null are in an answer all the same: serde writes each, and reads one that is missing as null.
/// What is derived cannot tell the one from the other, and lets all be missing.
pub(super) fn answers_are_whole(described: &mut OpenApi) {
    let asked = asked(described);
    let schemas = described.components.iter_mut().flat_map(|all| &mut all.schemas);
    for (name, schema) in schemas {
        if name != LEAVES_OUT && !asked.contains(name) {
            has_all(schema);
        }
    }
}

/// Operations are named by their handlers, of which several files have a `list`. Each gets a name of its own:
/// `get_users`, `delete_users_name`.
pub(super) fn operations_have_names(described: &mut OpenApi) {
    for (path, item) in &mut described.paths.paths {
        let words = path.split(['/', '{', '}']).filter(|word| !word.is_empty() && *word != "api");
        let words: Vec<&str> = words.map(|word| word.trim_end_matches(".json")).collect();
        for (method, operation) in operations(item) {
            operation.operation_id = Some(format!("{method}_{}", words.join("_")));
        }
    }
}

/// Who may ask, and what every operation may answer beside what it says itself.
pub(super) fn operations_say_who_may(described: &mut OpenApi) {
    let components = described.components.get_or_insert_default();
    let cookie = ApiKey::Cookie(ApiKeyValue::new(COOKIE_NAME));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    let token = Http::new(HttpAuthScheme::Bearer);
    components.add_security_scheme("token", SecurityScheme::Http(token));
    for (path, item) in &mut described.paths.paths {
        for (method, operation) in operations(item) {
            let no_scopes: [&str; 0] = [];
            let mut more = vec![("400", "what was sent is not understood")];
            if OPEN.contains(&(method, path.as_str())) {
                operation.security = Some(Vec::new());
            } else {
                let ways = ["session", "token"].map(|way| SecurityRequirement::new(way, no_scopes));
                operation.security = Some(ways.into());
                more.push(("401", "nobody is logged in"));
                more.push((
                    "403",
                    "the role is too small, or the session's X-CSRF-Token is not there",
                ));
            }
            more.push((
                "503",
                "the database cannot be reached or has no room; or it took too long",
            ));
            for (status, words) in more {
                let answers = &mut operation.responses.responses;
                answers.entry(status.into()).or_insert_with(|| problem(words).into());
            }
            for (status, answer) in &mut operation.responses.responses {
                if let RefOr::T(answer) = answer
                    && answer.description.is_empty()
                {
                    answer.description = meaning(status).into();
                }
            }
        }
    }
}

/// Operations that nobody has to log in for.
const OPEN: [(&str, &str); 2] = [("post", "/api/login"), ("get", "/healthz")];

fn problem(words: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(words).content("application/json", content).build()
}

fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "what was asked for",
        "201" => "it is made",
        "204" => "it is done",
        "401" => "nobody is logged in",
        "403" => "it is not allowed",
        "404" => "it is not there",
        "409" => "it cannot be done as things are",
        "422" => "something in it may not be so",
        "429" => "too many wrong tries",
        _ => "it cannot be done now",
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, patch, delete, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("patch", patch), ("delete", delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The names of what is sent in requests' bodies.
fn asked(described: &OpenApi) -> BTreeSet<String> {
    let all = serde_json::to_value(described).expect("it has a form in JSON");
    let paths = all["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(_, methods)| methods.as_object().into_iter().flatten());
    let bodies = operations.filter_map(|(_, operation)| {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
    });
    bodies.filter_map(|name| name.rsplit('/').next()).map(str::to_owned).collect()
}

fn has_all(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => object.required = object.properties.keys().cloned().collect(),
        Schema::AllOf(all) => all.items.iter_mut().for_each(has_all),
        Schema::OneOf(one) => one.items.iter_mut().for_each(has_all),
        _ => {}
    }
}
