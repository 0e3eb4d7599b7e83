//! The load generator against its own floor: what it reports is what happened.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use confab_loadtest::process::Process;
use serde_json::Value;

/// A floor in a process of its own, ended with the test.
struct Floor {
    child: Child,
    addr: String,
}

impl Floor {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .arg("floor")
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the floor starts");
        let mut addr = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut addr).expect("it tells its address");
        Self { child, addr: addr.trim().to_owned() }
    }

    fn run(&self, args: &str) -> (Option<i32>, Value) {
        let output = self.output(args);
        let text = String::from_utf8(output.stdout).expect("text");
        let report = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code(), report)
    }

    fn output(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["run", "--addr", &self.addr, "--pid", &self.child.id().to_string()])
            .args(args.split_whitespace())
            .output()
            .expect("the run starts")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer} in {report}"))
}

#[test]
fn a_closed_loop_delivers_every_message_to_every_member() {
    let (status, report) =
        Floor::start(&[]).run("--sockets 60 --rooms 3 --senders 2 --window 4 --warmup 0 --seconds 0.3");
    assert_eq!(status, Some(0), "{report}");
    let (messages, deliveries) = (number(&report, "/load/messages"), number(&report, "/load/deliveries"));
    assert!(messages > 30.0, "{report}");
    // At most six senders times four messages are under way when the count begins or ends.
    assert!((deliveries - messages * 20.0).abs() <= 24.0 * 20.0, "{report}");
    assert!(number(&report, "/load/server_cpu_us_per_delivery") > 0.0, "{report}");
    assert!(number(&report, "/load/latency_us/p50") <= number(&report, "/load/latency_us/p99"), "{report}");
    assert_eq!(report.pointer("/load/latency_us/corrected"), Some(&Value::Bool(false)));
}

#[test]
fn in_lockstep_the_next_message_waits_for_every_member() {
    let (status, report) =
        Floor::start(&[]).run("--sockets 90 --rooms 3 --senders 1 --lockstep --warmup 0 --seconds 0.3");
    assert_eq!(status, Some(0), "{report}");
    let (messages, deliveries) = (number(&report, "/load/messages"), number(&report, "/load/deliveries"));
    assert!(messages > 3.0 && (deliveries - messages * 30.0).abs() <= 3.0 * 30.0, "{report}");
    assert_eq!(number(&report, "/load/deliveries_per_read"), 1.0, "{report}");
    // One delivery that never comes, and nothing else is sent.
    let (status, report) =
        Floor::start(&["--drop-every", "50"]).run("--sockets 30 --senders 1 --lockstep --warmup 0 --seconds 0.3");
    assert_eq!(status, Some(1), "{report}");
    assert_eq!((number(&report, "/load/latency_us/count"), number(&report, "/faults/lost")), (59.0, 1.0), "{report}");
}

#[test]
fn a_delivery_that_the_server_drops_is_counted_as_lost() {
    let (status, report) =
        Floor::start(&["--drop-every", "1000"]).run("--sockets 50 --senders 1 --window 2 --warmup 0 --seconds 0.3");
    assert_eq!(status, Some(1), "{report}");
    let dropped = number(&report, "/load/deliveries") / 999.0;
    let lost = number(&report, "/faults/lost");
    assert!(lost >= 1.0 && (lost - dropped).abs() <= 0.1 * dropped + 2.0, "{lost} lost, {dropped} dropped: {report}");
    assert_eq!(number(&report, "/faults/repeated"), 0.0);
}

#[test]
fn an_open_loop_keeps_its_rate_and_corrects_its_latencies() {
    let (status, report) =
        Floor::start(&[]).run("--sockets 20 --rooms 2 --senders 2 --rate 500 --warmup 0 --seconds 1");
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(number(&report, "/load/latency_us/count"), 500.0 * 10.0, "{report}");
    assert_eq!(report.pointer("/load/latency_us/corrected"), Some(&Value::Bool(true)));
}

/// A server that stands still for a second has answered few messages late, if one asks it only when it answers; by the
/// clock, every message that was due in that second is late.
#[test]
fn a_server_that_stands_still_shows_in_every_message_that_was_due_meanwhile() {
    let floor = Floor::start(&[]);
    let pid = floor.child.id().to_string();
    let signal = move |name: &str| {
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
    };
    let process = Process::new(i32::try_from(floor.child.id()).expect("a process number")).expect("the floor runs");
    let pause = std::thread::spawn(move || {
        // Signing in ten sockets takes less than this, so the load has begun.
        let busy = process.cpu().expect("a clock") + std::time::Duration::from_millis(3);
        while process.cpu().expect("a clock") < busy {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        signal("-STOP");
        std::thread::sleep(std::time::Duration::from_secs(1));
        signal("-CONT");
    });
    let (status, report) = floor.run("--sockets 10 --senders 1 --window 1 --rate 200 --warmup 0 --seconds 2");
    pause.join().expect("the pause ends");
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(number(&report, "/load/latency_us/count"), 4000.0, "{report}");
    // Half of the two seconds was the pause, so a quarter of all messages waited for more than half a second of it.
    // With a window of 1, a closed loop would have had one late message.
    assert!(number(&report, "/load/latency_us/p90") > 500_000.0, "{report}");
    assert!(number(&report, "/load/latency_us/max") > 900_000.0, "{report}");
}

#[test]
fn idle_sockets_and_the_filling_of_rooms_are_measured_without_a_load() {
    let (status, report) = Floor::start(&[]).run("--sockets 400 --rooms 4 --fill 500 --seconds 0");
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report.pointer("/load"), None);
    assert!(number(&report, "/connect/server_cpu_us_per_socket") > 0.0, "{report}");
    assert!(number(&report, "/connect/server_rss_bytes_per_socket") > 0.0, "{report}");
}

#[test]
fn a_stalled_member_is_not_counted_among_the_lost() {
    let (status, report) = Floor::start(&[])
        .run("--sockets 20 --senders 1 --window 8 --stalled 1 --warmup 0 --seconds 0.5 --text-bytes 1000");
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(number(&report, "/stalled/sockets"), 1.0);
    assert_eq!(number(&report, "/faults/lost"), 0.0);
}

#[test]
fn options_that_contradict_each_other_are_explained() {
    let floor = Floor::start(&[]);
    for (args, says) in [
        ("--sockets 10 --rooms 3", "spread evenly"),
        ("--sockets 10 --senders 11", "don't fit"),
        ("--sockets 10 --senders 0", "needs senders"),
        ("--sockets 10 --senders 2 --lockstep", "one sender"),
        ("--sockets 10 --text-bytes 5", "at least 20 bytes"),
        ("--sockets 10 --rate 0", "more than 0"),
        ("--sockets 100000000", "open files"),
    ] {
        let output = floor.output(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args}: {stderr}");
        assert!(stderr.contains(says), "{args}: {stderr}");
    }
}

#[test]
fn a_server_that_refuses_the_handshake_is_named_with_its_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        stream
    });
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--addr", &addr.to_string(), "--sockets", "1"])
        .output()
        .expect("the run starts");
    let _ = server.join();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("403 Forbidden"), "{stderr}");
}
