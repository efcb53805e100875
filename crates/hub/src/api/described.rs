//! The API's description, where what is derived from the code does not say enough.

use std::collections::BTreeSet;

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{OpenApi, PathItem, RefOr};

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
