//! The operators' page in Debian's Chromium, steered over WebDriver.

use core::net::SocketAddr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rift::wire::signal::{EnrolmentToken, Signal};
use rift::{Identity, PublicKey};
use serde_json::{Value, json};
use wavry_gateway::shell::entropy;

use crate::support::{Device, GUARD, Place, Running, http, out};

/// A browser that is gone with the test.
struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.request("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// `None` where there is none; the reason is printed.
    fn new(place: &Place) -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", &place.0).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut driver) = command.spawn() else {
            eprintln!("skipped: Debian's chromium-driver is not installed");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = lines.find(|line| line.contains("started successfully on port"));
        let port = started.unwrap().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let mut browser = Self { driver, at: ([127, 0, 0, 1], port).into(), session: String::new() };
        let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": GUARD.as_millis() / 2 },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let made = browser.request("POST", "", &wanted);
        browser.session = made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Some(browser)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = if self.session.is_empty() {
            "/session".into()
        } else {
            format!("/session/{}{path}", self.session)
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http(
            self.at,
            &format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \
                 {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
        );
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let value: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{method} {path}: {answer}"));
        value["value"].clone()
    }

    /// Runs a script in the page and returns what it returns.
    fn run(&self, script: &str) -> Value {
        self.request("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Until the script returns `true`; the page itself looks now and then, so that nobody hurries it.
    fn wait(&self, script: &str) {
        let look = format!(
            "const done = arguments[0]; const look = () => (() => {{ {script} }})() === true ? done(true) : setTimeout(look, \
             20); look();"
        );
        let seen = self.request("POST", "/execute/async", &json!({ "script": look, "args": [] }));
        if seen != true {
            let text = self.run("return document.body.innerText");
            let log = self.request("POST", "/se/log", &json!({ "type": "browser" }));
            panic!("never: {script}; the page says {text}, the browser {log}");
        }
    }

    /// The first that this selects.
    fn element(&self, xpath: &str) -> String {
        let found = self.request("POST", "/element", &json!({ "using": "xpath", "value": xpath }));
        let element = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        element.unwrap_or_else(|| panic!("{xpath}: {found}")).to_owned()
    }

    /// The first that this selects is clicked, as a person does.
    fn click(&self, xpath: &str) {
        let element = self.element(xpath);
        let clicked = self.request("POST", &format!("/element/{element}/click"), &json!({}));
        assert!(clicked.is_null(), "{xpath}: {clicked}");
    }

    /// What the mouse does, one after the other.
    fn point(&self, steps: &Value) {
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": steps });
        let done = self.request("POST", "/actions", &json!({ "actions": [mouse] }));
        assert!(done.is_null(), "{steps}: {done}");
    }

    /// The page looks what there is now, as it does every few seconds, and has shown it.
    fn refresh(&self) {
        let script = "const done = arguments[0]; refresh().then(done)";
        let body = json!({ "script": script, "args": [] });
        assert_eq!(self.request("POST", "/execute/async", &body), true);
    }
}

/// The page refreshes between the two clicks, and again between press and release of the second one: what a person is about to
/// press stays where it is, also in browsers where a button that was clicked has no focus.
fn ban_while_the_page_refreshes(browser: &Browser) {
    browser.click("//tbody[@id='devices']//button[text()='Ban']");
    browser.run("document.activeElement.blur()");
    browser.refresh();
    let button = browser.element("//tbody[@id='devices']//button[text()='Really ban']");
    let origin = json!({ "element-6066-11e4-a52e-4f735466cecf": button });
    browser.point(&json!([
        { "type": "pointerMove", "duration": 0, "origin": origin, "x": 0, "y": 0 },
        { "type": "pointerDown", "button": 0 },
    ]));
    browser.run("document.activeElement.blur()");
    browser.refresh();
    assert_eq!(browser.run("return document.querySelectorAll('#bans tr').length"), 0, "nothing is done yet");
    browser.point(&json!([{ "type": "pointerUp", "button": 0 }]));
}

#[test]
fn page_shows_who_is_there_and_lets_an_operator_act() {
    let place = Place::new();
    let Some(browser) = Browser::new(&place) else { return };
    let key: PublicKey = out(&place.run(&["id", "--state", place.0.to_str().unwrap()])).parse().unwrap();
    let gateway = Running::new(&place);
    let made = gateway.ask("POST", "/api/v1/tokens").1;
    let token = EnrolmentToken::parse(made["token"].as_str().unwrap()).unwrap();
    let identity = Identity::from_secret(entropy());
    let mut device = Device::call(gateway.address, key, &identity, 1);
    // A name that would act if it were taken for markup.
    let name = "<img src=x onerror='document.title=1'>";
    device.line.say(&Signal::Enrol { token, name: name.try_into().unwrap() }).unwrap();
    while !device.welcome().0 {}

    browser.request("POST", "/url", &json!({ "url": format!("http://{}/", gateway.operators) }));
    let text = "document.getElementById('summary').textContent";
    browser.run("document.getElementById('token').value = 'wrong'");
    browser.click("//button[@id='enter']");
    browser.wait(&format!("return {text}.includes('token')"));
    assert_eq!(browser.run("return document.getElementById('all').hidden"), true);
    browser.run(&format!("document.getElementById('token').value = '{}'", gateway.token));
    browser.click("//button[@id='enter']");
    browser.wait(&format!("return {text}.startsWith('1 of 1 devices there')"));
    let row =
        browser.run("return [...document.querySelectorAll('#devices td')].map((one) => one.textContent)");
    assert_eq!((&row[0], &row[1]), (&json!(name), &json!(identity.public().to_string())));
    assert_eq!(browser.run("return document.images.length + document.title"), "0Wavry gateway");
    assert_eq!(browser.run("return document.cookie + localStorage.length + sessionStorage.length"), "00");

    ban_while_the_page_refreshes(&browser);
    browser.wait("return document.querySelectorAll('#bans tr').length === 1");
    device.until_closed();
    browser.click("//tbody[@id='bans']//button");
    browser.wait("return document.querySelectorAll('#bans tr').length === 0");
    browser.click("//tbody[@id='devices']//button[text()='Revoke']");
    browser.click("//tbody[@id='devices']//button[text()='Really revoke']");
    browser.wait(&format!("return {text}.startsWith('0 of 0 devices there')"));
    browser.click("//button[@id='drain']");
    browser.wait(&format!("return {text}.includes('introducing nobody')"));
    let lines = browser
        .run("return [...document.querySelectorAll('#audit td:nth-child(3)')].map((one) => one.textContent)");
    assert_eq!(lines, json!(["drain", "revoke", "unban", "ban", "enrol", "token"]));
    // The policy holds: what it forbids is not done, and nothing of the page's own was refused but the wrong token.
    browser.run("const one = document.createElement('script'); one.textContent = 'document.title = 2'; document.body.append(one)");
    assert_eq!(browser.run("return document.title"), "Wavry gateway");
    gateway.stop();
}
