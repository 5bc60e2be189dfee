//! One request, one answer, and the connection is over: as much of HTTP/1.1 (RFC 9112) as routers need. Nobody is followed
//! anywhere: an answer that points elsewhere is none.

use core::net::SocketAddrV4;

use super::url::Url;

/// Bytes of an answer that are read, head and body; a router's description has five thousand or so.
pub const RESPONSE_MAX: usize = 65_536;
const HEADERS_MAX: usize = 64;

/// A request, and who is to get it over TCP. What comes back goes to [`Upnp::handle_response`](crate::Upnp::handle_response).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The router.
    pub to: SocketAddrV4,
    /// All that is sent.
    pub request: Vec<u8>,
}

impl Call {
    /// Asks for a document.
    pub(super) fn document(url: &Url) -> Self {
        let Url { address, path } = url;
        let request = format!("GET {path} HTTP/1.1\r\nHOST: {address}\r\nCONNECTION: close\r\n\r\n");
        Self { to: *address, request: request.into_bytes() }
    }

    /// Asks a service to do something.
    pub(super) fn action(url: &Url, service: &str, action: &str, body: &str) -> Self {
        let (Url { address, path }, len) = (url, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHOST: {address}\r\nCONNECTION: close\r\n\
             CONTENT-TYPE: text/xml; charset=\"utf-8\"\r\nCONTENT-LENGTH: {len}\r\n\
             SOAPACTION: \"{service}#{action}\"\r\n\r\n{body}"
        );
        Self { to: *address, request: request.into_bytes() }
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Whether nothing needs to be read behind these bytes: the answer is whole, or will never be one.
#[must_use]
pub fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() >= RESPONSE_MAX || matches!(read(bytes), Reading::Whole(_) | Reading::Refused)
}

/// Reads an answer of which no more will come.
pub(super) fn response(bytes: &[u8]) -> Option<Response> {
    match read(bytes.get(..RESPONSE_MAX).unwrap_or(bytes)) {
        Reading::Whole(response) | Reading::UntilEnd(response) => Some(response),
        Reading::Part | Reading::Refused => None,
    }
}

enum Reading {
    Part,
    /// It says nothing of how long it is: it is as long as it is.
    UntilEnd(Response),
    Whole(Response),
    Refused,
}

fn read(mut bytes: &[u8]) -> Reading {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let at = match head.parse(bytes) {
            Ok(httparse::Status::Complete(at)) => at,
            Ok(httparse::Status::Partial) => return Reading::Part,
            Err(_) => return Reading::Refused,
        };
        let status = head.code.unwrap_or(0);
        let rest = bytes.get(at..).unwrap_or_default();
        // An answer that says that there will be one.
        if (100..200).contains(&status) {
            bytes = rest;
            continue;
        }
        let field = |name: &str| {
            let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
        };
        if let Some(encoding) = field("Transfer-Encoding") {
            return if encoding == "chunked" { chunks(status, rest) } else { Reading::Refused };
        }
        let Some(len) = field("Content-Length") else {
            return Reading::UntilEnd(Response { status, body: rest.to_vec() });
        };
        return match len.parse::<usize>() {
            Ok(len) if len <= RESPONSE_MAX => rest
                .get(..len)
                .map_or(Reading::Part, |body| Reading::Whole(Response { status, body: body.to_vec() })),
            _ => Reading::Refused,
        };
    }
}

/// RFC 9112 §7.1; nothing behind the last chunk matters.
fn chunks(status: u16, mut bytes: &[u8]) -> Reading {
    let mut body = Vec::new();
    loop {
        let (at, len) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Reading::Part,
            Err(_) => return Reading::Refused,
        };
        if len == 0 {
            return Reading::Whole(Response { status, body });
        }
        let Some(len) = usize::try_from(len).ok().filter(|&len| len <= RESPONSE_MAX) else {
            return Reading::Refused;
        };
        let Some(chunk) = bytes.get(at..at + len + 2) else { return Reading::Part };
        body.extend_from_slice(&chunk[..len]);
        bytes = &bytes[at + len + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8]) -> Option<(u16, String)> {
        response(bytes).map(|response| (response.status, String::from_utf8(response.body).expect("text")))
    }

    #[test]
    fn answers_end_where_they_say() {
        let said = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntextmore";
        assert_eq!(body(said), Some((200, "text".to_owned())));
        let first = (0..=said.len()).find(|&len| is_whole(&said[..len]));
        assert_eq!(first, Some(said.len() - 4));
        assert_eq!(body(&said[..said.len() - 5]), None, "cut short");
        let chunked =
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\ntext\r\n1;x=y\r\n!\r\n0\r\n\r\n";
        assert_eq!(body(chunked), Some((500, "text!".to_owned())));
        assert!(!is_whole(&chunked[..chunked.len() - 6]));
        let open = b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\ntext";
        assert_eq!((body(open), is_whole(open)), (Some((200, "text".to_owned())), false));
        let later = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(body(later), Some((200, "x".to_owned())));
    }

    #[test]
    fn answers_without_bound_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", RESPONSE_MAX + 1);
        let huge = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nx";
        let packed = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        for refused in [long.as_bytes(), &huge[..], &packed[..], headers.as_bytes(), b"SSH-2.0-x\r\n"] {
            assert!(is_whole(refused) && body(refused).is_none(), "{}", String::from_utf8_lossy(refused));
        }
        assert!(is_whole(&[b'a'; RESPONSE_MAX]), "no more is read");
    }
}
