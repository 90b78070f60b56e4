//! The page's server, without a browser and without a build: there is no cargo.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A watch of a folder in which there is nothing to build.
struct Watch {
    _folder: tempfile::TempDir,
    process: Child,
    port: u16,
    /// The path of the page: `/TOKEN/`.
    path: String,
}

impl Watch {
    fn new() -> Watch {
        let folder = tempfile::tempdir().unwrap();
        let notebooks = folder.path().join("notebooks-equivalent");
        std::fs::create_dir(&notebooks).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(notebooks.join("04_dot_product.rs"), "// %%\nlet a = 1;\n").unwrap();
        let mut command = crate::common::program();
        command.arg("watch").current_dir(folder.path()).env("CARGO", "/no/such/cargo");
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://127.0.0.1:").nth(1).expect(&line).split(' ').next().unwrap();
        let (port, path) = address.split_at(address.find('/').unwrap());
        Watch { _folder: folder, process, port: port.parse().unwrap(), path: path.to_owned() }
    }

    /// The status and the rest of the answer to a request with these headers.
    fn ask(&self, request: &str, headers: &[&str]) -> (u16, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!("{request} HTTP/1.1\r\n{}\r\nContent-Length: 0\r\n\r\n", headers.join("\r\n"));
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        (line.split(' ').nth(1).expect("a status").parse().unwrap(), answer)
    }

    fn status(&self, request: &str, headers: &[&str]) -> u16 {
        self.ask(request, headers).0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn pages_from_elsewhere_are_refused_by_their_origin_and_by_their_host() {
    let watch = Watch::new();
    let host = format!("Host: 127.0.0.1:{}", watch.port);
    let (get, stop) = (format!("GET {}", watch.path), format!("POST {}stop", watch.path));
    let own = format!("Origin: http://127.0.0.1:{}", watch.port);
    assert_eq!(watch.status(&get, &[&host]), 200);
    assert_eq!(watch.status(&stop, &[&host, &own]), 204);
    assert_eq!(watch.status(&get, &[&format!("Host: localhost:{}", watch.port)]), 200);
    for elsewhere in [
        "Origin: http://evil.example".to_owned(),
        "Origin: null".to_owned(),
        format!("Origin: https://127.0.0.1:{}", watch.port),
        format!("Origin: http://127.0.0.1:{}", watch.port ^ 1),
        format!("Origin: http://127.0.0.1:{}.evil.example", watch.port),
    ] {
        for request in [&get, &stop, &format!("GET {}events", watch.path)] {
            assert_eq!(watch.status(request, &[&host, &elsewhere]), 403, "{request} {elsewhere}");
        }
    }
    for elsewhere in
        [format!("Host: evil.example:{}", watch.port), "Host: 127.0.0.1".to_owned(), "X: y".to_owned()]
    {
        assert_eq!(watch.status(&get, &[&elsewhere]), 403, "{elsewhere}");
    }
    assert_eq!(watch.status(&get, &[&host, "Host: evil.example"]), 403, "two hosts");
    assert_eq!(watch.status("GET /", &[&host]), 404, "without the token");
    assert_eq!(watch.status("GET /0123456789abcdef/", &[&host]), 404, "with another token");
    assert_eq!(watch.status(&get.replace("GET", "POST"), &[&host]), 404);
}

#[test]
fn the_page_is_served_on_the_loopback_address_alone() {
    let watch = Watch::new();
    // What listens on every address has 127.0.0.2 too (on Linux, where the whole network is loopback).
    if cfg!(target_os = "linux") {
        assert!(TcpStream::connect(("127.0.0.2", watch.port)).is_err());
        TcpListener::bind(("127.0.0.2", watch.port)).expect("the port is free on another address");
    }
    let (status, mut page) = watch.ask(
        &format!("GET {}", watch.path),
        &[&format!("Host: 127.0.0.1:{}\r\nConnection: close", watch.port)],
    );
    let mut text = String::new();
    page.read_to_string(&mut text).unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("Content-Security-Policy: default-src 'none'") && text.contains("<main"), "{text}");
}

#[test]
fn without_cargo_the_page_says_so_and_ctrl_c_ends_the_watch() {
    let mut watch = Watch::new();
    let host = format!("Host: 127.0.0.1:{}", watch.port);
    let (status, events) = watch.ask(&format!("GET {}events", watch.path), &[&host]);
    assert_eq!(status, 200);
    let fault = events.lines().map_while(Result::ok).find(|line| line.contains("install Rust"));
    let fault = fault.expect("the stream tells of the fault");
    assert!(fault.contains("cargo cannot be started") && fault.contains("\"id\":null"), "{fault}");
    let pid = watch.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(watch.process.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    watch.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "watch has ended\n");
    assert!(!Path::new("/no/such/cargo").exists());
}
