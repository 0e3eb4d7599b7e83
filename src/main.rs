//! The `confab` program: what it does is in [`confab::cli`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    confab::cli::run()
}
