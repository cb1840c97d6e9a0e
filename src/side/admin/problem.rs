//! Error answers: always JSON, always with a reason.

use crate::side::loop_query::QueryError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use utoipa::ToSchema;

/// The body of an error answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What is wrong, in words.
    #[schema(example = "no such connection")]
    error: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Problem {
            status: status.as_u16(),
            error: error.into(),
        }
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, error)
    }

    /// Returns whether the token is missing or wrong.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }
}

impl From<QueryError> for Problem {
    fn from(why: QueryError) -> Self {
        let error = match why {
            QueryError::Busy => "the event loop is busy: 64 requests wait for it already; try \
                                 again"
                .to_owned(),
            QueryError::Stalled(patience) => {
                format!(
                    "the event loop has not answered for {} s",
                    patience.as_secs()
                )
            }
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"pulsegate\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

pub(super) async fn no_such_path() -> Problem {
    Problem::not_found("this path does not exist; /api/v1/openapi.json lists all paths")
}

pub(super) async fn no_such_method() -> Problem {
    let error = "this path does not have this method; the header Allow lists its methods";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// The query of a request; a query that cannot be parsed gives 400.
pub(super) struct QueryParams<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let query: Query<T> =
            query.map_err(|e: QueryRejection| Problem::bad_request(e.body_text()))?;
        Ok(QueryParams(query.0))
    }
}

/// A part of the path; a part that cannot be parsed gives 400.
pub(super) struct PathParam<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParam<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let path: Path<T> = path.map_err(|e: PathRejection| Problem::bad_request(e.body_text()))?;
        Ok(PathParam(path.0))
    }
}

/// How long a body may take to arrive; valid bodies fit into a packet.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A value that is read from a JSON object and nothing else: serde would also accept a list, with
/// the fields in order.
struct JsonObject<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer
            .deserialize_map(Fields(PhantomData))
            .map(JsonObject)
    }
}

/// The JSON body of a request, an object. Errors: 415 if it is not JSON, 400 if it cannot be
/// parsed, 413 if it is too long, 408 if it does not arrive in time.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = tokio::time::timeout(BODY_TIMEOUT, Json::from_request(request, state));
        match read.await {
            Ok(Ok(Json(JsonObject(body)))) => Ok(JsonBody(body)),
            Err(_) => {
                let error = format!(
                    "the body of the request did not arrive within {} s",
                    BODY_TIMEOUT.as_secs()
                );
                Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error))
            }
            Ok(Err(e)) => {
                let status = match &e {
                    JsonRejection::MissingJsonContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    _ if e.status() == StatusCode::PAYLOAD_TOO_LARGE => e.status(),
                    _ => StatusCode::BAD_REQUEST,
                };
                Err(Problem::new(status, e.body_text()))
            }
        }
    }
}
