//! Every setting: its default, its bound, where it comes from, and what is wrong with it.
//!
//! Sources, each over the one before: defaults, an optional TOML file, the environment. It may use the words of the
//! domain; it knows no socket and starts nothing. The environment comes in as a map, so that a test needs no process.

mod fault;
mod listing;
mod load;
mod row;
mod settings;
mod values;

pub use fault::{Fault, Faults};
pub use listing::{as_json, as_markdown};
pub use load::{Environment, InForce, Loaded};
pub use row::{Kind, Preset, Row, Spec};
pub use settings::is_log_directives;
pub use settings::{
    AuthSettings, DrainSettings, HttpSettings, LimitSettings, OpsSettings, PresenceSettings, RoomsSettings, Section,
    Settings, SocketioSettings, StoreSettings, TABLE, TelemetrySettings,
};
pub use values::{DurabilityMode, LogFormat, Secret, StoreUrl, TlsVerify};

use std::path::Path;

use crate::domain::{Limits, Millis};

/// What the environment's names of settings begin with.
pub const VARIABLE_PREFIX: &str = "CONFAB__";

/// The variable that names the file of settings, where the command line doesn't.
pub const FILE_VARIABLE: &str = "CONFAB_CONFIG";

/// What moving takes: the spread of a `goaway` and the time that the old socket stays open behind it.
const MOVING_MS: Millis = 6_000;

impl Settings {
    /// The settings that a file and an environment make. See [`Loaded::read`] for all that is known of them.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, Faults> {
        Loaded::read(file, environment).map(|loaded| loaded.settings)
    }

    /// How old a socket may get before it is asked to move; `None` where nothing cuts it.
    #[must_use]
    pub fn rotate_after(&self) -> Option<Millis> {
        match (self.rotate_after_ms, self.http.request_timeout_ms) {
            (0, 0) => None,
            (0, timeout) => Some((timeout / 10 * 9).saturating_sub(MOVING_MS).max(timeout / 2)),
            (explicit, _) => Some(explicit),
        }
    }
}

impl LimitSettings {
    /// The limits that clients are told about.
    #[must_use]
    pub const fn for_clients(&self) -> Limits {
        Limits {
            name_chars: self.name_chars,
            room_chars: self.room_chars,
            text_chars: self.text_chars,
            text_bytes: self.text_bytes,
            emoji_bytes: self.emoji_bytes,
            frame_bytes: self.frame_bytes,
            rooms_per_connection: self.rooms_per_connection,
            history_entries: self.history_entries,
            history_bytes: self.history_bytes,
            history_idle_ms: self.history_idle_ms,
            sends_per_second: self.sends_per_second,
            send_burst: self.send_burst,
            commands_per_second: self.commands_per_second,
            command_burst: self.command_burst,
            page_entries: self.page_entries,
            page_bytes: self.page_bytes,
            key_window_ms: self.key_window_ms,
            new_rooms_per_minute: self.new_rooms_per_minute,
            outbox_bytes: self.outbox_bytes,
        }
    }
}
