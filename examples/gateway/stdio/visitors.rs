//! Who may come in. A web page from anywhere can make the browser of whoever looks at it send
//! requests to this machine; local servers are none of its business.

use std::net::IpAddr;

use super::reply::Reply;

/// Tells requests that a foreign page is behind by the names in them.
#[derive(Debug)]
pub(crate) struct Visitors {
    allowed: Vec<String>,
    hosts: Hosts,
}

/// By which names they may call it.
#[derive(Debug, PartialEq)]
enum Hosts {
    Any,
    /// Where only this machine can reach the gateway, a request to any other name comes from a page
    /// that has its own name resolve to this machine ("DNS rebinding"), and that the browser
    /// therefore takes for local. Who says no name is no browser.
    Known,
    /// Nor does who says none.
    Said,
}

impl Visitors {
    /// `local` tells that the gateway listens where only this machine can reach it.
    pub(crate) fn new(allowed: &[String], local: bool) -> Self {
        Visitors {
            allowed: allowed.to_vec(),
            hosts: match local {
                true => Hosts::Known,
                false => Hosts::Any,
            },
        }
    }

    /// Those who operate the gateway: they are on this machine, and call it by a name of its own.
    pub(crate) fn operators() -> Self {
        Visitors {
            allowed: Vec::new(),
            hosts: Hosts::Said,
        }
    }

    /// What to answer to a request with these headers, which `get` finds by their names, if it is
    /// not to be served.
    pub(crate) fn refuse<'a>(
        &self,
        get: impl Fn(&'static str) -> Option<&'a [u8]>,
    ) -> Option<Reply> {
        let admitted = match get("origin") {
            Some(origin) => self.admits_origin(origin),
            // A browser does not say which page wants a picture, or has a link that was followed,
            // but all that are in use say whether that is another's.
            None => !get("sec-fetch-site").is_some_and(is_of_another),
        };
        if !admitted {
            return Some(Reply::foreign("web pages elsewhere"));
        }
        let admitted = match get("host") {
            _ if self.hosts == Hosts::Any => true,
            Some(host) => self.admits_host(host),
            None => self.hosts == Hosts::Known,
        };
        if !admitted {
            return Some(Reply::foreign("whoever calls this machine by that name"));
        }
        None
    }

    fn admits_origin(&self, origin: &[u8]) -> bool {
        let text = std::str::from_utf8(origin).ok();
        let host = text.and_then(|origin| origin.split_once("://"));
        host.is_some_and(|(_, host)| self.admits(host))
    }

    fn admits_host(&self, host: &[u8]) -> bool {
        std::str::from_utf8(host).is_ok_and(|host| self.admits(host))
    }

    /// A host, perhaps with a port.
    fn admits(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            || self
                .allowed
                .iter()
                .any(|allowed| name.eq_ignore_ascii_case(allowed))
    }
}

/// True for what a browser calls a page that did not come from here. "Same site" means no more than
/// the same machine, or the same domain.
fn is_of_another(site: &[u8]) -> bool {
    let foreign = ["cross-site", "same-site"];
    foreign
        .iter()
        .any(|kind| site.eq_ignore_ascii_case(kind.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(visitors: &Visitors, host: &str, origin: &str) -> bool {
        let get = |name| {
            let text = match name {
                "host" => host,
                "origin" => origin,
                _ => "",
            };
            Some(text.as_bytes()).filter(|text| !text.is_empty())
        };
        visitors.refuse(get).is_none()
    }

    #[test]
    fn only_pages_of_this_machine_are_admitted() {
        let visitors = Visitors::new(&[], false);
        for origin in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:80",
            "",
        ] {
            assert!(admits(&visitors, "example.com", origin), "{origin}");
        }
        for origin in [
            "null",
            "https://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com:8080",
            "http://",
        ] {
            assert!(!admits(&visitors, "localhost", origin), "{origin}");
        }
    }

    #[test]
    fn a_gateway_for_this_machine_answers_to_its_names_only() {
        let visitors = Visitors::new(&[], true);
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]", ""] {
            assert!(admits(&visitors, host, ""), "{host}");
        }
        for host in ["example.com", "example.com:8080", "192.0.2.1", "localhost."] {
            assert!(!admits(&visitors, host, ""), "{host}");
        }
    }

    #[test]
    fn an_operator_says_a_name_of_this_machine() {
        let operators = Visitors::operators();
        for host in ["localhost:8081", "127.0.0.1:1", "[::1]"] {
            assert!(admits(&operators, host, ""), "{host}");
            assert!(!admits(&operators, host, "http://example.com"), "{host}");
        }
        for host in ["", "example.com", "192.0.2.1:8081"] {
            assert!(!admits(&operators, host, ""), "{host}");
        }
    }

    #[test]
    fn what_is_allowed_is_admitted() {
        let visitors = Visitors::new(&["tools.example.com".to_owned()], true);
        assert!(admits(
            &visitors,
            "Tools.example.com",
            "https://tools.example.com"
        ));
        assert!(!admits(&visitors, "example.com", ""));
        assert!(!admits(&visitors, "", "https://example.com"));
    }
}
