//! Table of routes: the paths of the server, the methods of each, and what they need. Routing, metrics, error
//! messages and the OpenAPI document read it.

use axum::http::Method;

use crate::server::access::Need;

const GET: &str = "GET, HEAD, OPTIONS";
const POST: &str = "POST, OPTIONS";
const GET_AND_POST: &str = "GET, HEAD, POST, OPTIONS";

macro_rules! routes {
    ($($name:ident $path:literal $methods:ident;)*) => {
        /// What a path leads to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Route { $($name,)* }

        impl Route {
            /// Every route, in the order of the table.
            pub const ALL: &'static [Route] = &[$(Route::$name,)*];

            /// Returns the path, with `NAME` for a part that is any name.
            pub fn path(self) -> &'static str {
                match self { $(Route::$name => $path,)* }
            }

            /// Returns the methods, as the value of `Allow`.
            pub fn methods(self) -> &'static str {
                match self { $(Route::$name => $methods,)* }
            }

            fn of_whole(path: &str) -> Option<Route> {
                match path {
                    $($path => Some(Route::$name),)*
                    _ => None,
                }
            }
        }
    };
}

routes! {
    Analytics    "/analytics"           GET_AND_POST;
    Events       "/events"              POST;
    Sql          "/sql"                 GET_AND_POST;
    Queries      "/queries"             GET;
    SavedQuery   "/queries/NAME"        GET;
    Schema       "/schema"              GET;
    Flush        "/admin/flush"         POST;
    Compact      "/admin/compact"       POST;
    Retain       "/admin/retain"        POST;
    Forget       "/admin/forget"        POST;
    Tokens       "/admin/tokens"        GET_AND_POST;
    RevokeTokens "/admin/tokens/revoke" POST;
    Metrics      "/metrics"             GET;
    OpenApi      "/openapi.json"        GET;
    Docs         "/docs"                GET;
    DocsFile     "/docs/NAME"           GET;
    Healthz      "/healthz"             GET;
    Readyz       "/readyz"              GET;
}

/// Paths with a name at their end.
const NAMED: [(&str, Route); 2] = [("/queries/", Route::SavedQuery), ("/docs/", Route::DocsFile)];

impl Route {
    /// Returns the route of a path.
    pub fn of(path: &str) -> Option<Route> {
        let of_name =
            || NAMED.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, route)| *route);
        Route::of_whole(path).or_else(of_name)
    }

    /// Returns the name at the end of a path of this route; the whole path if it has none.
    pub fn name(self, path: &str) -> &str {
        let folder = NAMED.iter().find(|(_, route)| *route == self);
        folder.and_then(|(folder, _)| path.strip_prefix(folder)).unwrap_or(path)
    }

    pub fn allows(self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// Returns what a request needs; `None` if it is open to all.
pub fn need(method: &Method, path: &str) -> Option<Need> {
    match path {
        _ if *method == Method::OPTIONS => None,
        "/healthz" | "/readyz" => None,
        "/analytics" if *method == Method::POST => Some(Need::Write),
        "/events" => Some(Need::Write),
        // Both have the names of the kinds and dimensions.
        "/schema" | "/openapi.json" => Some(Need::Any),
        _ if path.starts_with("/admin/") => Some(Need::Admin),
        _ => Some(Need::Read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route_and_others_lead_nowhere() {
        for route in Route::ALL {
            assert_eq!(Route::of(route.path()), Some(*route));
        }
        assert_eq!(Route::of("/queries/top_users"), Some(Route::SavedQuery));
        assert_eq!(Route::SavedQuery.name("/queries/a/b"), "a/b");
        for nowhere in ["", "/", "/analytics/", "/admin", "/admin/", "/sql2", "/docsify"] {
            assert_eq!(Route::of(nowhere), None, "{nowhere}");
        }
        assert!(Route::Events.allows(&Method::POST) && !Route::Events.allows(&Method::GET));
    }
}
