//! The document and the server say the same: paths, methods, parameters, shapes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::*;
use crate::server::http::media_types::COST;
use crate::server::http::params;
use crate::server::http::paths::Route;
use crate::server::tokens::{Created, Described, NewToken, Role};
use crate::storage::{CompactionReport, ErasureReceipt, RetentionReport};

fn schema() -> EventSchema {
    EventSchema::new(&["signup".into()], &["page".into(), "referrer".into()]).unwrap()
}

fn whole() -> Value {
    document(&schema(), &SavedQueries::default())
}

/// Returns the route that a path of the document stands for.
fn route(path: &str) -> Route {
    Route::of(path).unwrap_or_else(|| panic!("{path} leads nowhere"))
}

#[test]
fn every_path_and_method_is_in_the_document_and_no_other() {
    let document = whole();
    let mut documented: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase());
        documented.entry(route(path).path()).or_default().extend(methods);
    }
    let of_route = |route: &Route| {
        let methods =
            route.methods().split(", ").filter(|method| !["HEAD", "OPTIONS"].contains(method));
        (route.path(), methods.map(str::to_owned).collect())
    };
    assert_eq!(documented, Route::ALL.iter().map(of_route).collect());
    let paths = document["paths"].as_object().unwrap();
    for query in SavedQueries::default().all() {
        assert!(paths.contains_key(&format!("/queries/{}", query.name)), "{}", query.name);
    }
}

/// Returns the names of the parameters of the URL that an operation has.
fn in_url(document: &Value, operation: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for parameter in operation["parameters"].as_array().unwrap() {
        let parameter = match parameter["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => parameter,
        };
        if parameter["in"] == "query" {
            names.insert(parameter["name"].as_str().unwrap().to_owned());
        }
    }
    if operation["security"].as_array().unwrap().iter().any(|scheme| scheme.get("token").is_some())
    {
        names.insert(params::TOKEN.to_owned());
    }
    names
}

/// Returns the names of the parameters of the URL that the server reads.
fn read(path: &str, method: &str) -> BTreeSet<String> {
    let library = SavedQueries::default();
    let (schema, route) = (schema(), route(path));
    let mut names: Vec<&str> = match (route, method) {
        (Route::Analytics, "post") => params::EVENT.to_vec(),
        (Route::Analytics, _) => params::HOUR.to_vec(),
        (Route::Events, _) => vec![params::TOKEN],
        (Route::Sql, "get") => [&[params::STATEMENT, "params"], &params::RESERVED[..]].concat(),
        (Route::Sql, _) => params::RESERVED.to_vec(),
        (Route::SavedQuery, _) => {
            let query = library.find(route.name(path)).unwrap();
            let own = query.parameters.iter().map(|parameter| parameter.name.as_str());
            own.chain(params::RESERVED).collect()
        }
        _ => params::of_admin(route).to_vec(),
    };
    if (route, method) == (Route::Analytics, "post") {
        names.extend(schema.dimensions().iter().map(String::as_str));
    }
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_parameter_is_in_the_document_and_no_other() {
    let document = whole();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert_eq!(in_url(&document, operation), read(path, method), "{method} {path}");
        }
    }
}

#[test]
fn the_kinds_and_dimensions_are_those_of_the_store() {
    let document = whole();
    let parameters = &document["paths"]["/analytics"]["post"]["parameters"];
    let event = parameters.as_array().unwrap().iter().find(|p| p["name"] == "event").unwrap();
    assert_eq!(event["schema"]["enum"], json!(["click", "impression", "signup"]));
    let numbers = &document["components"]["schemas"]["HourNumbers"]["properties"];
    assert!(numbers["signup"].is_object() && numbers["clicks"].is_object());
    let values = &document["paths"]["/queries/top_values"]["get"]["parameters"][0];
    assert_eq!(
        (&values["name"], &values["schema"]["enum"]),
        (&json!("dimension"), &json!(["page", "referrer"]))
    );
}

/// Checks that a value has exactly the members that the document requires.
fn has_the_shape(name: &str, value: &impl Serialize) {
    let schema = &whole()["components"]["schemas"][name];
    let value = serde_json::to_value(value).unwrap();
    let members: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let required = schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(members, required.collect(), "{name}");
    assert_eq!(members, properties.keys().map(String::as_str).collect(), "{name}");
}

#[test]
fn what_is_written_as_json_has_the_shape_of_the_document() {
    has_the_shape("CompactionReport", &CompactionReport::default());
    has_the_shape("RetentionReport", &RetentionReport::default());
    has_the_shape("ErasureReceipt", &ErasureReceipt::default());
    let described = Described {
        id: "1".into(),
        name: None,
        role: Role::Read,
        created: String::new(),
        expires: None,
        origin: None,
    };
    has_the_shape("Token", &described);
    has_the_shape("CreatedToken", &Created { token: "hg_".into(), described });
    let new = NewToken { role: Role::Read, name: None, expires_seconds: None, origin: None };
    let new = serde_json::to_value(new).unwrap();
    let document = whole();
    let known = document["components"]["schemas"]["NewToken"]["properties"].as_object().unwrap();
    assert!(new.as_object().unwrap().keys().eq(known.keys()));
}

#[test]
fn every_problem_type_and_header_of_a_cost_is_in_the_document() {
    let document = whole();
    let types =
        document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].to_string();
    for failure in crate::error::Failure::ALL.iter().map(|failure| failure.row()) {
        assert!(failure.status == 499 || types.contains(failure.urn), "{}", failure.urn);
    }
    let headers = &document["components"]["responses"]["Rows"]["headers"];
    let mut names: Vec<&String> = headers.as_object().unwrap().keys().collect();
    let mut cost = COST.to_vec();
    names.sort();
    cost.sort_unstable();
    assert_eq!(names, cost);
}

#[test]
fn every_reference_leads_to_a_component_and_every_component_is_referred_to() {
    let document = whole();
    let text = document.to_string();
    for part in ["parameters", "headers", "schemas", "responses"] {
        for name in document["components"][part].as_object().unwrap().keys() {
            let reference = format!("\"#/components/{part}/{name}\"");
            assert!(text.contains(&reference), "{reference}");
        }
    }
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap())
    {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
