//! The program itself as a service, in a process of its own.
#![allow(dead_code)] // every test file uses a part of it
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// For anything that is awaited here: far more than it takes, so that a slow machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at a log.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An instance on a port of its own. It ends with the test.
pub struct Served {
    process: Child,
    pub port: String,
    /// Disconnected when the process has closed its standard output, which it does by ending.
    output: Receiver<String>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Served {
    pub fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_or_end(environment).expect("the instance logs where it listens")
    }

    /// The same; `None` where it ends before it listens.
    pub fn start_or_end(environment: &[(&str, &str)]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.env_clear().env("PORT", "0").env("CONFAB__TELEMETRY__LOG_FORMAT", "json");
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (addresses, output) = sync_channel(1);
        let log = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&log);
        // Reads on after the address, so that the pipe never fills.
        thread::spawn(move || {
            for line in lines {
                let text = line.unwrap();
                let line: Value = serde_json::from_str(&text).unwrap();
                kept.lock().unwrap().push(text);
                if let Some(address) = line["address"].as_str() {
                    addresses.send(address.to_owned()).unwrap();
                }
            }
        });
        let address = match output.recv_timeout(PATIENCE) {
            Ok(address) => address,
            Err(RecvTimeoutError::Disconnected) => {
                process.wait().unwrap();
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {
                let _ = process.kill();
                panic!("neither does the instance listen nor end: {:#?}", log.lock().unwrap());
            }
        };
        let port = address.rsplit(':').next().unwrap().to_owned();
        Some(Self { process, port, output, log })
    }

    /// The lines it has logged so far, each of which was JSON.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for lines of a kind, which are on their way when what they tell of can be seen, and returns those there are.
    pub async fn lines(&self, at_least: usize, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let read = || -> Vec<Value> {
            let lines = self.log().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
            lines.filter(|line| is_it(line)).collect()
        };
        let waiting = async {
            loop {
                let lines = read();
                if lines.len() >= at_least {
                    return lines;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let lines = tokio::time::timeout(PATIENCE, waiting).await;
        lines.unwrap_or_else(|_| panic!("{at_least} lines are awaited, and there are {:#?}", read()))
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&[], arguments)
    }

    pub fn run_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.args(arguments).env_clear().env("PORT", &self.port).envs(environment.iter().copied());
        command.stdin(Stdio::null()).output().unwrap()
    }

    pub async fn sign_in(&self) -> Client {
        let stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", self.port)).await.unwrap();
        let (socket, _) = client_async(format!("ws://127.0.0.1:{}/ws", self.port), stream).await.unwrap();
        let mut client = Client { socket };
        client.ask(json!({"type": "hello", "id": 0, "name": "Ada"})).await;
        client
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process.id())]).status();
        assert!(sent.unwrap().success());
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        assert_eq!(self.output.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the process ends");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "an instance of a test that failed has logged: {:#?}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that has said hello.
pub struct Client {
    socket: WebSocketStream<tokio::net::TcpStream>,
}

impl Client {
    /// Sends a command and returns its reply, which is no refusal.
    pub async fn ask(&mut self, command: Value) -> Value {
        let reply = self.say(command).await;
        assert_ne!(reply["type"], "error", "{reply}");
        reply
    }

    /// Sends commands in one frame.
    pub async fn tell(&mut self, commands: &[Value]) {
        let lines: Vec<_> = commands.iter().map(Value::to_string).collect();
        self.socket.send(Message::text(lines.join("\n"))).await.unwrap();
    }

    /// Sends commands in one frame and returns the reply to the last.
    pub async fn say_together(&mut self, commands: &[Value]) -> Value {
        self.tell(commands).await;
        self.reply_to(commands.last().unwrap()).await
    }

    /// The next so many messages of the rooms that it is in.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let frame = frame.unwrap_or_else(|_| panic!("{} of {count} messages came", messages.len()));
            let Message::Text(text) = frame.unwrap().unwrap() else { continue };
            let objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            messages.extend(objects.filter(|object| object["type"] == "message"));
        }
        messages
    }

    /// Sends a command and returns its reply.
    pub async fn say(&mut self, command: Value) -> Value {
        self.say_together(std::slice::from_ref(&command)).await
    }

    async fn reply_to(&mut self, command: &Value) -> Value {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no reply to {command}")).unwrap().unwrap();
            let Message::Text(text) = frame else { continue };
            for object in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
                if object["id"] == command["id"] {
                    return object;
                }
            }
        }
    }
}
