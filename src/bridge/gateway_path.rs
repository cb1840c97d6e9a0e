//! The gateways through which a request has come. A loop of upstreams and gateways would pass it on
//! without end.

use super::end_to_end::{CONNECTION_FIELD, Field, HOPS_FIELD};
use crate::engine::Request;
use crate::host::BootId;
use crate::wire::http::{HeaderName, HeaderValue, elements};

/// The most gateways that a request may come through, this one not counted.
const GATEWAYS_MAX: usize = 8;

/// The gateways through which a request has come: the nearest one comes last. Each gateway tells
/// the next one its own id, with that of the connection, and the ids of those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayPath(Vec<BootId>);

impl GatewayPath {
    /// Reads the path of a request. A client can write anything into it, and so at most have its
    /// own request refused.
    pub(super) fn of(request: &Request) -> Self {
        let [hops, connection] = [HOPS_FIELD, CONNECTION_FIELD].map(HeaderName::from_static);
        let hops = elements(request.headers(), &hops);
        let stated = request.headers().get_all(connection).iter();
        let nearest = stated.filter_map(|value| value.as_bytes().split(|b| *b == b'.').next());
        let ids = hops.chain(nearest).filter_map(BootId::parse);
        GatewayPath(ids.take(GATEWAYS_MAX + 1).collect())
    }

    /// Returns why the gateway with this id does not pass the request on, if it does not.
    pub(super) fn fault(&self, own: BootId) -> Option<&'static str> {
        if self.0.contains(&own) {
            return Some("the upstream leads back to this gateway");
        }
        let is_long = self.0.len() > GATEWAYS_MAX;
        is_long.then_some("the request has come through more than 8 gateways")
    }

    /// Returns the field that tells the upstream of these gateways; `None` if there are none.
    pub(super) fn field(&self) -> Option<Field> {
        let ids: Vec<String> = self.0.iter().map(BootId::to_string).collect();
        let value = HeaderValue::from_str(&ids.join(", ")).ok()?;
        (!ids.is_empty()).then(|| (HeaderName::from_static(HOPS_FIELD), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the path of a request with these fields, as it is told to the upstream, and why the
    /// gateway 0000000a does not pass it on.
    fn path(fields: &str) -> (String, Option<&'static str>) {
        let request = Request::of(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        let path = GatewayPath::of(&request);
        let told = path.field().map(|(_, value)| value);
        let told = told.map(|value| value.to_str().expect("ASCII").to_owned());
        let own = BootId::parse(b"0000000a").expect("an id");
        (told.unwrap_or_default(), path.fault(own))
    }

    #[test]
    fn a_request_that_comes_back_is_found_behind_other_gateways() {
        const BACK: Option<&str> = Some("the upstream leads back to this gateway");
        const LONG: Option<&str> = Some("the request has come through more than 8 gateways");
        let many = |n: u32| {
            let ids: Vec<String> = (100..100 + n).map(|id| format!("{id:08x}")).collect();
            ids.join(", ")
        };
        let (hops, connection) = ("X-Pulsegate-Hops", "X-Pulsegate-Connection");
        for (fields, told, fault) in [
            (String::new(), String::new(), None),
            (
                format!("{connection}: 0000000a.1.2\r\n"),
                "0000000a".into(),
                BACK,
            ),
            (
                format!("{connection}: 0000000b.1.2\r\n"),
                "0000000b".into(),
                None,
            ),
            (
                format!("{connection}: 0000000c.1.2\r\n{hops}: 0000000a, 0000000b\r\n"),
                "0000000a, 0000000b, 0000000c".into(),
                BACK,
            ),
            (
                format!("{hops}: 0000000b\r\n{hops}: 0000000c\r\n"),
                "0000000b, 0000000c".into(),
                None,
            ),
            // What no gateway writes.
            (
                format!(
                    "{connection}: me.1\r\n{hops}: 0000000A, a, +000000a, \u{e9}, 00000000a\r\n"
                ),
                String::new(),
                None,
            ),
            (format!("{hops}: {}\r\n", many(8)), many(8), None),
            (format!("{hops}: {}\r\n", many(9)), many(9), LONG),
            (format!("{hops}: {}\r\n", many(1_500)), many(9), LONG),
        ] {
            assert_eq!(path(&fields), (told, fault), "{fields}");
        }
    }
}
