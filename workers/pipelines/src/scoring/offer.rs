//! An offer: eight scores and what follows from them.

/// The targets of a model, in the order of all its outputs.
pub const TARGETS: [&str; 8] = [
    "cost",
    "subscription",
    "function_map",
    "function_ignore_sound",
    "function_listen_sound",
    "function_detailed_routes",
    "function_sos_signal",
    "function_invite_second_parent",
];
/// Where the scores of the functions begin.
const FIRST_FUNCTION: usize = 2;
const PREFIX: &str = "function_";

/// The eight numbers of an offer, each in its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores(pub [f32; TARGETS.len()]);

impl Scores {
    /// Brings what a model gives into range: cost from 0, term 1 to 12 months, functions 0 to 1.
    pub fn from_raw(raw: &[f64; TARGETS.len()]) -> Self {
        let mut scores = [0.0; TARGETS.len()];
        for (index, (score, raw)) in scores.iter_mut().zip(raw).enumerate() {
            let within = match index {
                _ if raw.is_nan() => *raw,
                0 => raw.max(0.0),
                1 => raw.clamp(1.0, 12.0),
                _ => raw.clamp(0.0, 1.0),
            };
            #[expect(clippy::cast_possible_truncation, reason = "the stores hold single precision")]
            let single = within as f32;
            *score = single;
        }
        Self(scores)
    }

    /// The monthly price in roubles.
    pub fn cost(&self) -> f32 {
        self.0[0]
    }

    /// The recommended term in months, not rounded.
    pub fn subscription(&self) -> f32 {
        self.0[1]
    }

    /// The functions to include: those that score above one half, in the order of the targets.
    pub fn selected_functions(&self) -> Vec<&'static str> {
        self.selected().collect()
    }

    /// The same, one by one.
    pub fn selected(&self) -> impl Iterator<Item = &'static str> {
        let functions = TARGETS.iter().zip(self.0).skip(FIRST_FUNCTION).filter(|(_, score)| *score > 0.5);
        functions.map(|(target, _)| target.strip_prefix(PREFIX).unwrap_or(target))
    }
}
