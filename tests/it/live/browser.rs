//! The watched page in a real browser.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::copy::copy;
use crate::notebook::chromium;

/// Headless Chromium, driven through its pipe of JSON messages (`--remote-debugging-pipe`, file descriptors 3 and 4).
struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn new(chromium: &str) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let exec = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2 2>/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", exec, "sh", chromium, "--remote-debugging-pipe", "--headless", "--no-sandbox"]);
        command.args([
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ]);
        command.args(["--disable-component-update", "--window-size=1200,1000"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut browser = Browser { process, to, from, session: None, sent: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            assert!(self.from.read_until(0, &mut answer).unwrap() > 0, "Chromium ended");
            let answer: Value =
                serde_json::from_slice(answer.trim_ascii_end().strip_suffix(b"\0").unwrap()).unwrap();
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression in the page.
    fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        self.call("Runtime.evaluate", parameters)["result"]["value"].clone()
    }

    /// Waits until an expression is true in the page.
    fn wait(&mut self, expression: &str) {
        let started = Instant::now();
        while self.value(expression) != true {
            // A build on a busy machine takes a minute or two; without any limit a broken page would hang the tests.
            assert!(
                started.elapsed() < Duration::from_secs(600),
                "never true: {expression}\n{}",
                self.value("document.body.innerText")
            );
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        // Ctrl-C, so that it ends its children.
        drop(Command::new("kill").args(["-INT", &self.0.id().to_string()]).status());
        drop(self.0.wait());
    }
}

const STATE: &str = "document.getElementById('state').textContent";
const FAULT: &str = "document.querySelector('.fault')";

#[test]
fn an_edited_cell_shows_its_new_number_a_mistake_its_error_and_mended_it_is_gone() {
    let Some(chromium) = chromium() else { return };
    let copy = copy();
    let stem = "05_embedding_dot";
    // Without SECTION the file that was saved last is the one.
    std::fs::File::options()
        .append(true)
        .open(copy.section(stem))
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    let mut command = copy.command(env!("CARGO_BIN_EXE_lecture5"));
    command.args(["watch", "--fast", "--dpi", "40", "--out"]).arg(copy.folder.join("out"));
    let mut watch = Watch(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(watch.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.split(" at ").nth(1).and_then(|rest| rest.split(' ').next()).expect(&line);

    let mut browser = Browser::new(chromium);
    browser.call("Page.navigate", json!({"url": address}));
    browser.wait(&format!("document.getElementById('state') !== null && {STATE} === 'done'"));
    let cell = |code: &str| {
        format!("[...document.querySelectorAll('.cell')].find((c) => c.textContent.includes('{code}'))")
    };
    let rate = browser.value(&format!("{}.id", cell("opt.set_lrs(")));
    let second_fit = browser.value(&format!("{}.id", cell("history.extend(")));
    let (rate, second_fit) = (rate.as_str().unwrap(), second_fit.as_str().unwrap());
    let losses = format!("document.querySelector('#{second_fit} .outputs')?.textContent ?? ''");
    let before = browser.value(&losses);
    assert!(before.as_str().unwrap().starts_with("[ 0. "), "{before}");

    // A number is changed: the page goes to its cell, keeps the old losses, and shows the new ones.
    copy.edit(stem, "opt.set_lrs(lecture.rate(0.01));", "opt.set_lrs(0.02);");
    browser.wait(&format!("document.querySelector('.changed')?.id === '{rate}'"));
    assert_eq!(
        browser.value(&format!("document.querySelector('#{second_fit} .outputs.old') !== null")),
        true
    );
    assert_eq!(browser.value(&losses), before);
    browser.wait(&format!("{STATE} === 'done'"));
    let after = browser.value(&losses);
    assert!(after.as_str().unwrap().starts_with("[ 0. ") && after != before, "{after}");
    assert_eq!(browser.value("document.querySelectorAll('.outputs.old').length"), 0);
    let seen = "(() => { const { top, bottom } = document.querySelector('.changed').getBoundingClientRect(); \
                return top >= 0 && bottom <= innerHeight; })()";
    browser.wait(seen);

    // A mistake: the compiler's error is under the cell that caused it, and the last result stays.
    copy.edit(stem, "opt.set_lrs(0.02);", "opt.set_lrs(\"0.02\");");
    browser.wait(&format!("{FAULT} !== null"));
    assert_eq!(browser.value(&format!("{FAULT}.closest('.cell').id")), rate);
    let fault = browser.value(&format!("{FAULT}.textContent"));
    assert!(fault.as_str().unwrap().starts_with("error[E0308]: mismatched types"), "{fault}");
    assert!(fault.as_str().unwrap().contains("opt.set_lrs(\"0.02\");"), "{fault}");
    assert_eq!(browser.value(&losses), after);

    // Mended, the error is gone, and the section trains. The fit is now so long that its losses are seen as they are
    // computed; the button stops it.
    copy.edit(stem, "fit_with(&model, &data, 3, &mut opt, mse_loss, lecture.options(nb))?;\n\n    // %% [markdown]\n    // ## Set",
        "fit_with(&model, &data, 99999, &mut opt, mse_loss, lecture.options(nb))?;\n\n    // %% [markdown]\n    // ## Set");
    copy.edit(stem, "opt.set_lrs(\"0.02\");", "opt.set_lrs(0.02);");
    browser.wait("/batch \\d+\\/1251: loss \\d/.test(document.querySelector('.fits')?.textContent)");
    assert_eq!(browser.value(&format!("{FAULT} === null")), true);
    assert_eq!(
        browser.value("document.querySelector('.fits').closest('.cell').textContent.includes('99999')"),
        true
    );
    browser.value("document.getElementById('stop').click()");
    browser.wait(&format!("{STATE} === 'stopped'"));
}
