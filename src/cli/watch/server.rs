//! The page's server, for the one user at this machine.
//!
//! It listens on 127.0.0.1. Two kinds of visitors could still reach it there. Another user of the machine does not know the
//! token in the address. A page from elsewhere in the user's own browser names itself in `Origin` or, if its domain points
//! to 127.0.0.1 (DNS rebinding), in `Host`; both are refused.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tiny_http::{Header, Method, Request, Response, Server};

use super::page::Page;
use super::wake::Wake;

/// Where the page is served.
pub struct Place {
    server: Server,
    port: u16,
    token: String,
}

impl Place {
    /// Takes a free port of 127.0.0.1.
    pub fn bind() -> Result<Place> {
        let server =
            Server::http(("127.0.0.1", 0)).map_err(|error| anyhow!("127.0.0.1: no port is free: {error}"))?;
        let port = server.server_addr().to_ip().map_or(0, |address| address.port());
        // The keys with which the standard library protects its hash tables come from the system's random numbers.
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        Ok(Place { server, port, token })
    }

    /// The page's address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Answers requests until the program ends.
    pub fn serve(self, page: Arc<Page>, wakes: Sender<Wake>) {
        for request in self.server.incoming_requests() {
            let (page, wakes) = (Arc::clone(&page), wakes.clone());
            let answered = match self.route(&request) {
                Err(status) => request.respond(Response::empty(status)),
                Ok(Route::Page) => request.respond(document()),
                Ok(Route::Wake(wake)) => {
                    drop(wakes.send(wake));
                    request.respond(Response::empty(204))
                }
                Ok(Route::Events) => {
                    std::thread::spawn(move || events(request, &page));
                    Ok(())
                }
            };
            drop(answered); // a browser that went away
        }
    }

    /// What a request asks for, or the status that refuses it.
    fn route(&self, request: &Request) -> Result<Route, u16> {
        let header = |name: &'static str| request.headers().iter().filter(move |h| h.field.equiv(name));
        let ours =
            |host: &str| ["127.0.0.1", "localhost"].iter().any(|us| host == format!("{us}:{}", self.port));
        let mut hosts = header("Host");
        let host_is_ours =
            hosts.next().is_some_and(|host| ours(host.value.as_str())) && hosts.next().is_none();
        let from_here = |origin: &Header| origin.value.as_str().strip_prefix("http://").is_some_and(ours);
        if !host_is_ours || !header("Origin").all(from_here) {
            return Err(403);
        }
        let path = request.url().strip_prefix('/').and_then(|path| path.strip_prefix(self.token.as_str()));
        match (request.method(), path) {
            (Method::Get, Some("/")) => Ok(Route::Page),
            (Method::Get, Some("/events")) => Ok(Route::Events),
            (Method::Post, Some("/stop")) => Ok(Route::Wake(Wake::Stop)),
            (Method::Post, Some("/again")) => Ok(Route::Wake(Wake::Again)),
            _ => Err(404),
        }
    }
}

enum Route {
    Page,
    Events,
    Wake(Wake),
}

/// The page before any event.
fn document() -> Response<io::Cursor<Vec<u8>>> {
    let html = include_str!("page.html")
        .replace("/*STYLE*/", concat!(include_str!("../../notebook/page.css"), include_str!("page.css")))
        .replace("/*SCRIPT*/", include_str!("page.js"));
    let headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ];
    let headers = headers.map(|(name, value)| Header::from_bytes(name, value).expect("they are ASCII"));
    headers.into_iter().fold(Response::from_string(html), Response::with_header)
}

/// A stream of events, which ends when the browser goes away.
fn events(request: Request, page: &Page) {
    let changes = page.listen();
    let mut to = request.into_writer();
    let mut send = |text: &str| to.write_all(text.as_bytes()).and_then(|()| to.flush());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
    let mut sent = send(head);
    while sent.is_ok() {
        sent = match changes.recv_timeout(Duration::from_secs(5)) {
            Ok(told) => send(&format!("data: {told}\n\n")),
            Err(RecvTimeoutError::Timeout) => send(":\n\n"), // is anybody still there?
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}
