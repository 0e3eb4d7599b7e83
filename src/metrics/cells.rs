//! The numbers behind the list: counters, gauges and histograms, each with one series for every value of its attributes.
//!
//! Adding is a few nanoseconds and never waits: each thread adds to a part of its own, on cache lines of its own, and
//! whoever reads sums the parts up. What is read while others add is at most that much too low, and never goes back.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::labels::Labels;

/// Parts that threads add to; more threads than that share them.
const PARTS: usize = 8;

/// Numbers on one cache line.
const LINE: usize = 8;

/// Several numbers that no other part shares a cache line with.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

/// The part of this thread.
fn part() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % PARTS);
    }
    PART.get()
}

/// Sums that threads add to.
#[derive(Debug)]
struct Sums {
    lines: Box<[Line]>,
    lines_per_part: usize,
}

impl Sums {
    fn new(numbers: usize) -> Self {
        let lines_per_part = numbers.div_ceil(LINE);
        Self { lines: (0..lines_per_part * PARTS).map(|_| Line::default()).collect(), lines_per_part }
    }

    fn add(&self, at: usize, amount: u64) {
        self.lines[part() * self.lines_per_part + at / LINE].0[at % LINE].fetch_add(amount, Ordering::Relaxed);
    }

    fn read(&self, at: usize) -> u64 {
        let parts = self.lines.chunks_exact(self.lines_per_part);
        parts.map(|part| part[at / LINE].0[at % LINE].load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

/// What kind of numbers a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows, from 0 at the start of the process.
    Counter,
    /// A number that comes and goes.
    Gauge,
    /// How often values came that were at most so large.
    Histogram,
    /// Always 1: its attributes are the news.
    Info,
}

impl Kind {
    /// Its name in the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One series as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Of a counter.
    Sum(u64),
    /// Of a gauge.
    Level(i64),
    /// Of a histogram.
    Distribution {
        /// The upper bounds of all buckets but the last, which has none.
        bounds: &'static [u64],
        /// Values in each bucket alone.
        counts: Vec<u64>,
        /// The sum of all values.
        sum: u64,
    },
}

/// The numbers of one metric, for whoever reads them.
pub trait Cells {
    /// The series of this number, from 0.
    fn read(&self, series: usize) -> Reading;
}

/// A sum that only grows. Of a metric in seconds it counts microseconds.
#[derive(Debug)]
pub struct Counter<L> {
    sums: Sums,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counter<L> {
    pub(super) const KIND: Kind = Kind::Counter;

    pub(super) fn new(_: &'static [u64]) -> Self {
        Self { sums: Sums::new(L::SERIES), labels: PhantomData }
    }

    /// One more.
    pub fn inc(&self, labels: L) {
        self.add(labels, 1);
    }

    /// So many more.
    pub fn add(&self, labels: L, amount: u64) {
        self.sums.add(labels.series(), amount);
    }

    /// The whole sum, where it is kept elsewhere. Only for what one caller alone sets and nobody adds to.
    pub fn set_total(&self, labels: L, total: u64) {
        let series = labels.series();
        self.sums.lines[series / LINE].0[series % LINE].fetch_max(total, Ordering::Relaxed);
    }

    /// The sum.
    #[must_use]
    pub fn get(&self, labels: L) -> u64 {
        self.sums.read(labels.series())
    }
}

impl<L: Labels> Cells for Counter<L> {
    fn read(&self, series: usize) -> Reading {
        Reading::Sum(self.sums.read(series))
    }
}

/// A number that comes and goes. Of a metric in seconds it is in microseconds.
#[derive(Debug)]
pub struct Gauge<L> {
    levels: Box<[AtomicI64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Gauge<L> {
    pub(super) const KIND: Kind = Kind::Gauge;

    pub(super) fn new(_: &'static [u64]) -> Self {
        Self { levels: (0..L::SERIES).map(|_| AtomicI64::new(0)).collect(), labels: PhantomData }
    }

    /// So many more, or fewer.
    pub fn add(&self, labels: L, amount: i64) {
        self.levels[labels.series()].fetch_add(amount, Ordering::Relaxed);
    }

    /// The number itself.
    pub fn set(&self, labels: L, level: u64) {
        self.levels[labels.series()].store(i64::try_from(level).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(super) fn at(&self, series: usize) -> i64 {
        self.levels[series].load(Ordering::Relaxed)
    }
}

impl<L: Labels> Cells for Gauge<L> {
    fn read(&self, series: usize) -> Reading {
        Reading::Level(self.at(series))
    }
}

/// How often values came that were at most so large. Of a metric in seconds the values are microseconds.
#[derive(Debug)]
pub struct Histogram<L> {
    bounds: &'static [u64],
    /// Per series: a count for each bucket, and the sum.
    sums: Sums,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Histogram<L> {
    pub(super) const KIND: Kind = Kind::Histogram;

    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, sums: Sums::new(L::SERIES * Self::numbers(bounds)), labels: PhantomData }
    }

    /// A bucket for each bound, one above them, the sum.
    const fn numbers(bounds: &[u64]) -> usize {
        bounds.len() + 2
    }

    /// Takes a value in.
    pub fn record(&self, labels: L, value: u64) {
        self.record_many(labels, value, 1);
    }

    /// Takes a time in.
    pub fn record_time(&self, labels: L, time: Duration) {
        self.record(labels, micros(time));
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self, labels: L) -> u64 {
        self.sums.read(labels.series() * Self::numbers(self.bounds) + self.bounds.len() + 1)
    }

    /// Takes the same value in so many times.
    pub fn record_many(&self, labels: L, value: u64, times: u64) {
        let first = labels.series() * Self::numbers(self.bounds);
        let bucket = self.bounds.iter().take_while(|bound| **bound < value).count();
        self.sums.add(first + bucket, times);
        self.sums.add(first + self.bounds.len() + 1, value.saturating_mul(times));
    }
}

impl<L: Labels> Cells for Histogram<L> {
    fn read(&self, series: usize) -> Reading {
        let first = series * Self::numbers(self.bounds);
        let counts = (first..=first + self.bounds.len()).map(|at| self.sums.read(at)).collect();
        Reading::Distribution { bounds: self.bounds, counts, sum: self.sums.read(first + self.bounds.len() + 1) }
    }
}

/// Something that is so for as long as the process runs.
#[derive(Debug)]
pub struct Info<L> {
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Info<L> {
    pub(super) const KIND: Kind = Kind::Info;

    pub(super) const fn new(_: &'static [u64]) -> Self {
        Self { labels: PhantomData }
    }
}

impl<L: Labels> Cells for Info<L> {
    fn read(&self, _: usize) -> Reading {
        Reading::Level(1)
    }
}

/// A time as metrics in seconds keep it.
#[must_use]
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::labels::{Protocol, SocketState};
    use super::*;

    #[test]
    fn what_many_threads_add_is_all_there() {
        let counter = Counter::<Protocol>::new(&[]);
        std::thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add(Protocol::Socketio, 2)));
            }
        });
        assert_eq!((counter.get(Protocol::Socketio), counter.get(Protocol::Native)), (4_000 * PARTS as u64, 0));
    }

    #[test]
    fn a_value_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::<Protocol>::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21] {
            histogram.record(Protocol::Socketio, value);
        }
        histogram.record_many(Protocol::Socketio, u64::MAX, 0);
        let read = histogram.read(Protocol::Socketio.series());
        assert_eq!(read, Reading::Distribution { bounds: &[10, 20], counts: vec![2, 2, 1], sum: 62 });
        let other = histogram.read(Protocol::Native.series());
        assert_eq!(other, Reading::Distribution { bounds: &[10, 20], counts: vec![0, 0, 0], sum: 0 });
    }

    #[test]
    fn every_pair_of_attributes_is_a_series_of_its_own() {
        let gauge = Gauge::<(Protocol, SocketState)>::new(&[]);
        gauge.add((Protocol::Native, SocketState::Closing), 3);
        gauge.add((Protocol::Socketio, SocketState::New), 1);
        gauge.add((Protocol::Socketio, SocketState::New), -1);
        let levels: Vec<_> = (0..<(Protocol, SocketState)>::SERIES).map(|series| gauge.read(series)).collect();
        let expected: Vec<_> = [0, 0, 3, 0, 0, 0].map(Reading::Level).into();
        assert_eq!(levels, expected);
    }

    #[test]
    fn a_total_that_is_kept_elsewhere_never_goes_back() {
        let counter = Counter::<()>::new(&[]);
        counter.set_total((), 7);
        counter.set_total((), 5);
        assert_eq!(counter.get(()), 7);
    }
}
