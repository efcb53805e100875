//! `/api/docs`: what `/api/openapi.json` says, for people.

use std::fmt::Write as _;

use serde_json::Value;
use utoipa::openapi::OpenApi;

/// Its style is within it, and there is no script.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// The page.
pub(super) fn page(described: &OpenApi) -> String {
    let all = serde_json::to_value(described).expect("it has a form in JSON");
    let mut body = String::new();
    write_paths(&mut body, &all).expect("a string takes all");
    let about = escaped(all["info"]["description"].as_str().unwrap_or_default());
    format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>\n\
         <meta name=viewport content='width=device-width'>\n<title>Tandem: the API</title>\n\
         <style>body{{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         code,pre{{font:.9rem ui-monospace,monospace}}pre{{overflow:auto;padding:.5rem;\
         border:1px solid #8886}}h2{{margin-top:2rem;font-size:1.1rem}}</style>\n\
         <h1>The API</h1><p>{about}</p>\n\
         <p><a href=/api/openapi.json>/api/openapi.json</a> is this for programs.</p>\n{body}</html>\n"
    )
}

fn write_paths(body: &mut String, all: &Value) -> std::fmt::Result {
    for (path, methods) in all["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let word = method.to_uppercase();
            writeln!(body, "<h2><code>{} {}</code></h2>", escaped(&word), escaped(path))?;
            for text in ["summary", "description"] {
                if let Some(text) = operation[text].as_str() {
                    writeln!(body, "<p>{}</p>", escaped(text))?;
                }
            }
            write_parameters(body, operation)?;
            let asked = &operation["requestBody"]["content"];
            write_content(body, "Body", asked, all)?;
            for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
                let said = answer["description"].as_str().unwrap_or_default();
                writeln!(body, "<p><b>{}</b> {}</p>", escaped(status), escaped(said))?;
                write_content(body, "", &answer["content"], all)?;
            }
        }
    }
    Ok(())
}

fn write_parameters(body: &mut String, operation: &Value) -> std::fmt::Result {
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let place = parameter["in"].as_str().unwrap_or_default();
        let about = parameter["description"].as_str().unwrap_or_default();
        writeln!(
            body,
            "<p><code>{}</code> ({}) {}</p>",
            escaped(name),
            escaped(place),
            escaped(about)
        )?;
    }
    Ok(())
}

fn write_content(body: &mut String, title: &str, content: &Value, all: &Value) -> std::fmt::Result {
    for (kind, content) in content.as_object().into_iter().flatten() {
        let shape = shape(&content["schema"], all, 0);
        let shown = serde_json::to_string_pretty(&shape).unwrap_or_default();
        writeln!(
            body,
            "<p>{title} <code>{}</code></p><pre>{}</pre>",
            escaped(kind),
            escaped(&shown)
        )?;
    }
    Ok(())
}

/// A schema as what it describes would look, with types for values.
fn shape(schema: &Value, all: &Value, depth: usize) -> Value {
    const DEPTH_MAX: usize = 8;
    if depth > DEPTH_MAX {
        return "…".into();
    }
    if let Some(name) =
        schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/components/schemas/"))
    {
        return shape(&all["components"]["schemas"][name], all, depth + 1);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = serde_json::Map::new();
        for part in parts {
            if let Value::Object(part) = shape(part, all, depth + 1) {
                whole.extend(part);
            }
        }
        return whole.into();
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choices = choices.iter().map(|choice| shape(choice, all, depth + 1));
        return serde_json::json!({ "one of": choices.collect::<Vec<_>>() });
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        return words.collect::<Vec<_>>().join(" | ").into();
    }
    if let Some(fields) = schema["properties"].as_object() {
        let fields =
            fields.iter().map(|(name, field)| (name.clone(), shape(field, all, depth + 1)));
        return fields.collect::<serde_json::Map<_, _>>().into();
    }
    if schema["items"].is_object() {
        return vec![shape(&schema["items"], all, depth + 1)].into();
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ").into()
        }
        kind => kind.clone(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
