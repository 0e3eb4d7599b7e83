//! From the sources to [`Settings`], or to everything that is wrong with them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use ::config::builder::DefaultState;
use ::config::{Config, ConfigBuilder, ConfigError, FileFormat, Map, Source, Value, ValueKind};

use super::fault::{Fault, Faults, nearest, shown};
use super::row::Row;
use super::settings::{Settings, TABLE};
use super::values::{REDIS_PORT, StoreUrl};
use super::{FILE_VARIABLE, VARIABLE_PREFIX};

/// The environment as far as it is text: names and values.
pub type Environment = BTreeMap<String, String>;

/// Longest file of settings or secrets that is read, in bytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// The old socket stays open for this long behind a `goaway`: what a drain needs beside its spread, in milliseconds.
const GOAWAY_LINGER_MS: u64 = 2_000;

/// What stands where a secret would.
const HIDDEN: &str = "(hidden)";

/// Settings, and where each came from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Each of them in the order of the table, for people.
    pub in_force: Vec<InForce>,
}

/// One setting in force.
#[derive(Debug)]
pub struct InForce {
    /// Which.
    pub row: &'static Row,
    /// Its value as a file would give it, `(hidden)` for a secret; `None` where it has none.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: String,
}

impl Loaded {
    /// Reads the file, if there is one, and the environment over it.
    ///
    /// Of the environment it reads `CONFAB__…`, `CONFAB_CONFIG`, `PORT`, `K_SERVICE`, `K_REVISION`, and where no
    /// `store.url` is set `REDISHOST` and `REDISPORT`. An empty variable counts as not set.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(file: Option<&Path>, environment: &Environment) -> Result<Self, Faults> {
        let get = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let cloud_run = get("K_SERVICE").is_some();
        let mut reading = Reading::default();

        reading.lay_defaults(cloud_run);
        if let Some(path) = file.or_else(|| get(FILE_VARIABLE).map(Path::new)) {
            reading.lay_file(path);
        }
        reading.lay_environment(environment);
        if !reading.is_set("store.url") {
            reading.lay_redis_host(get("REDISHOST"), get("REDISPORT"));
        }

        reading.judge();
        reading.name_instance(get("K_REVISION").unwrap_or("confab"));
        reading.take_password_out_of_url();
        reading.raise_budgets();
        reading.compare(cloud_run);
        reading.finish()
    }
}

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flat_map(|section| section.rows)
}

fn row(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}

/// One source, as far as its names are settings.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// What is known so far.
#[derive(Default)]
struct Reading {
    layers: Vec<Layer>,
    /// The source of each setting that isn't left at its default: the last that has it.
    origins: HashMap<&'static str, String>,
    /// The good values of all sources together.
    values: HashMap<&'static str, ValueKind>,
    faults: Vec<Fault>,
}

impl Reading {
    /// Lays one more source over those before: name, origin and value of each setting.
    fn lay(&mut self, source: Vec<(&'static str, String, ValueKind)>) {
        let mut layer = Map::new();
        for (name, origin, value) in source {
            layer.insert(name.to_owned(), Value::new(Some(&origin), value));
            self.origins.insert(name, origin);
        }
        self.layers.push(Layer(layer));
    }

    fn lay_defaults(&mut self, cloud_run: bool) {
        let defaults = rows().filter_map(|row| Some((row.name.to_owned(), row.default_on(cloud_run).value()?)));
        self.layers.push(Layer(defaults.map(|(name, value)| (name, Value::new(None, value))).collect()));
    }

    /// Whether any source but the defaults has it.
    fn is_set(&self, name: &str) -> bool {
        self.origins.contains_key(name)
    }

    fn lay_file(&mut self, path: &Path) {
        let origin = format!("the file {}", path.display());
        let tree = read_bounded(path)
            .map_err(|error| error.to_string())
            .and_then(|text| toml(&text).map_err(|error| format!("is not TOML: {error}")));
        let tree = match tree {
            Ok(tree) => tree,
            Err(problem) => return self.fault(origin, problem),
        };
        let mut leaves = Vec::new();
        flatten("", tree, &mut leaves);
        leaves.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut known = Vec::new();
        for (name, value) in leaves {
            match row(&name) {
                Some(row) => known.push((row.name, origin.clone(), value)),
                None => self.unknown(&name, &format!("in {origin}"), rows().map(|row| row.name.to_owned())),
            }
        }
        self.lay(known);
    }

    fn lay_environment(&mut self, environment: &Environment) {
        let mut known = Vec::new();
        let text = |value: &str| ValueKind::String(value.to_owned());
        if let Some(port) = environment.get("PORT").filter(|value| !value.is_empty()) {
            known.push(("port", "PORT".to_owned(), text(port)));
        }
        for (variable, value) in environment.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            match rows().find(|row| row.variable() == *variable) {
                Some(_) if value.is_empty() => {}
                Some(row) => known.push((row.name, variable.clone(), text(value))),
                None => self.unknown(variable, "in the environment", rows().map(Row::variable)),
            }
        }
        self.lay(known);
    }

    /// The names that the tutorials for Memorystore use.
    fn lay_redis_host(&mut self, host: Option<&str>, port: Option<&str>) {
        let Some(host) = host else {
            if port.is_some() {
                self.fault("REDISPORT", "is set without REDISHOST: set both, or CONFAB__STORE__URL");
            }
            return;
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = port.map_or_else(|| REDIS_PORT.to_string(), str::to_owned);
        let url = format!("redis://{host}:{port}");
        self.lay(vec![("store.url", "REDISHOST and REDISPORT".to_owned(), ValueKind::String(url))]);
    }

    /// Merges the sources and reads each setting as what it has to be.
    fn judge(&mut self) {
        let layers = std::mem::take(&mut self.layers);
        let merged = layers.into_iter().fold(Config::builder(), ConfigBuilder::<DefaultState>::add_source).build();
        let merged = match merged {
            Ok(merged) => merged,
            Err(error) => return self.fault("the sources together", error.to_string()),
        };
        for row in rows() {
            let Ok(raw) = merged.get::<Value>(row.name) else { continue };
            self.take(row, &raw.kind);
        }
        for row in rows().filter(|row| row.spec.secret) {
            self.read_secret_file(row);
        }
    }

    /// Keeps a value, or says why not.
    fn take(&mut self, row: &'static Row, raw: &ValueKind) {
        match row.spec.read(raw) {
            Some(value) => {
                self.values.insert(row.name, value);
            }
            None => {
                let value = if row.spec.secret { HIDDEN.to_owned() } else { shown(raw) };
                let setting = format!("{} = {value} (from {})", row.name, self.origin(row.name));
                self.fault(setting, format!("must be {}", row.spec.expected()));
            }
        }
    }

    /// Every secret may come from the file that the setting of the same name with `_file` behind it names.
    fn read_secret_file(&mut self, secret: &'static Row) {
        let Some(file_row) = row(&format!("{}_file", secret.name)) else { return };
        let Some(ValueKind::String(path)) = self.values.get(file_row.name).cloned() else { return };
        if self.is_set(secret.name) {
            let setting = format!("{} (from {})", file_row.name, self.origin(file_row.name));
            let problem = format!("{} is set too (from {}): keep one", secret.name, self.origin(secret.name));
            return self.fault(setting, problem);
        }
        match read_bounded(Path::new(&path)) {
            Ok(text) => {
                self.origins.insert(secret.name, format!("the file {path}"));
                self.take(secret, &ValueKind::String(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            Err(error) => {
                let setting = format!("{} = {path:?} (from {})", file_row.name, self.origin(file_row.name));
                self.fault(setting, error.to_string());
            }
        }
    }

    fn name_instance(&mut self, stem: &str) {
        const ENDING: usize = 8;
        let row = "instance";
        if self.is_set(row) {
            return;
        }
        let stem: String = stem.chars().filter(char::is_ascii_graphic).take(64 - 1 - ENDING).collect();
        self.derive(row, format!("{stem}-{:08x}", rand::random::<u32>()).into(), "K_REVISION and a random ending");
    }

    fn take_password_out_of_url(&mut self) {
        let Some(ValueKind::String(text)) = self.values.get("store.url") else { return };
        let Some((url, password)) = StoreUrl::parse(text) else { return };
        self.values.insert("store.url", url.to_string().into());
        let Some(password) = password else { return };
        if self.is_set("store.password") {
            let setting = format!("store.url (from {})", self.origin("store.url"));
            let problem = format!(
                "holds a password, and store.password is set (from {}): keep one",
                self.origin("store.password")
            );
            return self.fault(setting, problem);
        }
        self.values.insert("store.password", password.expose().into());
        self.origins.insert("store.password", "store.url".to_owned());
    }

    /// Budgets must leave room for what others allow: those below the codec for commands, the outbox for pages.
    fn raise_budgets(&mut self) {
        const COMMAND_BYTES: u64 = 1_024;
        // A page as JSON, another behind it, and what comes in the meantime: or whoever comes back could never catch up.
        const OUTBOX_PAGES: u64 = 4;
        let (rate, burst) = (self.number("limits.commands_per_second"), self.number("limits.command_burst"));
        for (name, least, why) in [
            ("limits.frames_per_second", rate * 2, "limits.commands_per_second"),
            ("limits.frame_burst", burst * 2, "limits.command_burst"),
            ("limits.bytes_per_second", rate * COMMAND_BYTES, "limits.commands_per_second"),
            ("limits.byte_burst", burst * COMMAND_BYTES, "limits.command_burst"),
            ("limits.byte_burst", self.number("limits.frame_bytes") * 2, "limits.frame_bytes"),
            ("limits.outbox_bytes", self.number("limits.page_bytes") * OUTBOX_PAGES, "limits.page_bytes"),
        ] {
            if self.values.contains_key(name) && self.number(name) < least {
                self.derive(name, least.into(), &format!("{why}, raised from {}", self.number(name)));
            }
        }
    }

    /// What must hold between settings.
    fn compare(&mut self, cloud_run: bool) {
        let memory = self.values.get("store.url").is_some_and(|url| *url == ValueKind::from("memory:"));
        let allowed = self.values.get("store.allow_memory_on_cloud_run") == Some(&ValueKind::Boolean(true));
        if cloud_run && memory && !allowed {
            let setting = format!("store.url = \"memory:\" (from {})", self.origin("store.url"));
            self.fault(
                setting,
                "the embedded store is one instance's own, and Cloud Run runs several: set CONFAB__STORE__URL to a Redis, \
                 or, for a trial with one instance at most, CONFAB__STORE__ALLOW_MEMORY_ON_CLOUD_RUN=true",
            );
        }
        self.guard_operations();
        self.must_be_less("store.wait_timeout_ms", "store.response_timeout_ms", 1);
        self.must_be_less("presence.lease_renew_ms", "presence.lease_ms", 1);
        self.must_be_less("presence.list_again_at", "presence.list_up_to", 0);
        self.must_be_less("drain.spread_ms", "drain.deadline_ms", GOAWAY_LINGER_MS);
    }

    /// Whoever reaches the operations port may drain the instance.
    fn guard_operations(&mut self) {
        let Some(ValueKind::String(address)) = self.values.get("ops.address").cloned() else { return };
        let local = address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if local || self.number("ops.port") == 0 || self.values.contains_key("ops.token") {
            return;
        }
        let setting = format!("ops.address = {address:?} (from {})", self.origin("ops.address"));
        self.fault(
            setting,
            "others can reach the operations port there: set CONFAB__OPS__TOKEN_FILE or CONFAB__OPS__TOKEN, or keep the port \
             to this machine with 127.0.0.1",
        );
    }

    fn must_be_less(&mut self, low: &'static str, high: &'static str, by: u64) {
        let both = self.values.contains_key(low) && self.values.contains_key(high);
        let (low_is, high_is) = (self.number(low), self.number(high));
        if !both || low_is + by <= high_is {
            return;
        }
        let most = match by {
            0 => "at most".to_owned(),
            1 => "less than".to_owned(),
            gap => format!("at least {gap} less than"),
        };
        let setting = format!("{low} = {low_is} (from {})", self.origin(low));
        self.fault(setting, format!("must be {most} {high} = {high_is} (from {})", self.origin(high)));
    }

    fn finish(self) -> Result<Loaded, Faults> {
        if !self.faults.is_empty() {
            return Err(Faults(self.faults));
        }
        let value = |row: &'static Row| {
            let value = self.values.get(row.name)?;
            Some(if row.spec.secret { HIDDEN.to_owned() } else { written(value) })
        };
        let in_force = rows().map(|row| InForce { row, value: value(row), origin: self.origin(row.name) }).collect();
        let typed = self.values.iter().map(|(name, value)| ((*name).to_owned(), Value::new(None, value.clone())));
        Config::builder()
            .add_source(Layer(typed.collect()))
            .build()
            .and_then(Config::try_deserialize)
            .map(|settings| Loaded { settings, in_force })
            .map_err(|error| {
                let problem = error.to_string();
                Faults(vec![Fault { setting: "the settings together".to_owned(), problem }])
            })
    }

    fn derive(&mut self, name: &'static str, value: ValueKind, origin: &str) {
        self.values.insert(name, value);
        self.origins.insert(name, origin.to_owned());
    }

    fn origin(&self, name: &str) -> String {
        self.origins.get(name).cloned().unwrap_or_else(|| "the default".to_owned())
    }

    fn number(&self, name: &str) -> u64 {
        match self.values.get(name) {
            Some(ValueKind::U64(number)) => *number,
            _ => 0,
        }
    }

    fn fault(&mut self, setting: impl Into<String>, problem: impl Into<String>) {
        self.faults.push(Fault { setting: setting.into(), problem: problem.into() });
    }

    /// The value is not repeated: it may be a secret under a misspelt name.
    fn unknown(&mut self, name: &str, place: &str, known: impl Iterator<Item = String>) {
        let near = match nearest(name, known) {
            _ if rows().any(|row| row.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))) => {
                format!(": it is a section, [{name}]")
            }
            Some(near) => format!(": did you mean {near}?"),
            None => String::new(),
        };
        let name = shown(&ValueKind::String(name.to_owned()));
        self.fault(format!("{name} {place}"), format!("there is no such setting{near}"));
    }
}

fn toml(text: &str) -> Result<Map<String, Value>, ConfigError> {
    ::config::File::from_str(text, FileFormat::Toml).collect()
}

/// The leaves of a tree of tables, under their names with dots.
fn flatten(prefix: &str, tree: Map<String, Value>, leaves: &mut Vec<(String, ValueKind)>) {
    for (key, value) in tree {
        let name = format!("{prefix}{key}");
        match value.kind {
            ValueKind::Table(table) => flatten(&format!("{name}."), table, leaves),
            kind => leaves.push((name, kind)),
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("is longer than {FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// A good value as a file would give it.
fn written(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
