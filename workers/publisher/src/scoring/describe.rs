//! An offer in words, in the reader's language: Russian or English.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::commercial::Commercial;

/// A language of descriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

/// What every offer has, beside what is selected: never scored.
const ALWAYS: [[&str; 2]; 3] = [
    ["application blocking", "блокировка приложений"],
    ["protection from unknown callers", "защита от звонков с незнакомых номеров"],
    ["time spent in applications", "статистика времени в приложениях"],
];
const FUNCTIONS: [(&str, [&str; 2]); 6] = [
    ("map", ["more saved places on the map (10 instead of 3)", "больше мест на карте (10 вместо 3)"]),
    ("ignore_sound", ["ringing through silent mode", "громкий звонок в беззвучном режиме"]),
    ("listen_sound", ["listening to the child’s surroundings", "звук вокруг ребёнка"]),
    ("detailed_routes", ["detailed route map", "подробная карта маршрутов"]),
    ("sos_signal", ["SOS signal", "сигнал SOS"]),
    ("invite_second_parent", ["inviting a second parent", "приглашение второго родителя"]),
];

impl Language {
    /// The word for it in headers and documents.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ru => "ru",
        }
    }

    fn of(tag: &str) -> Option<Self> {
        let primary = tag.trim().split('-').next().unwrap_or_default();
        [Self::En, Self::Ru].into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// The language a reader likes best, by `Accept-Language`; English where none of both is named.
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::default());
        for part in header.split(',') {
            let (tag, rest) = part.split_once(';').unwrap_or((part, ""));
            let weight: f64 = rest.trim().strip_prefix("q=").map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            if let Some(language) = Self::of(tag)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }

    fn pick(self, texts: [&'static str; 2]) -> &'static str {
        texts[usize::from(self == Self::Ru)]
    }
}

/// The functions that every offer has.
pub fn always(language: Language) -> Vec<&'static str> {
    ALWAYS.into_iter().map(|texts| language.pick(texts)).collect()
}

/// A function's name for people.
fn function(language: Language, name: &str) -> &str {
    FUNCTIONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, texts)| language.pick(*texts))
}

/// Price, term, what is always included, and what is selected.
pub fn describe(language: Language, commercial: &Commercial, selected: &[impl AsRef<str>]) -> String {
    let Commercial { price, term_months: term, .. } = commercial;
    let names: Vec<&str> = selected.iter().map(|name| function(language, name.as_ref())).collect();
    let (always, names) = (always(language).join(", "), names.join(", "));
    match language {
        Language::En => {
            let months = if *term == 1 { "month" } else { "months" };
            let names = if names.is_empty() { "none" } else { &names };
            format!(
                "{price} roubles a month for {term} {months}. Always included: {always}. Selected for you: {names}."
            )
        }
        Language::Ru => {
            let months = match term {
                1 => "месяц",
                2..=4 => "месяца",
                _ => "месяцев",
            };
            let names = if names.is_empty() { "нет" } else { &names };
            format!("{price} ₽ в месяц на {term} {months}. Всегда включено: {always}. Выбрано для вас: {names}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, describe};
    use crate::scoring::commercial::{Commercial, Rounding};

    #[test]
    fn the_reader_is_given_the_language_liked_best() {
        for (header, language) in [
            ("", Language::En),
            ("de", Language::En),
            ("ru", Language::Ru),
            ("ru-RU,ru;q=0.9,en;q=0.8", Language::Ru),
            ("de, en;q=0.3, RU;q=0.5", Language::Ru),
            ("en, ru", Language::En),
            ("ru;q=0", Language::En),
            ("ru;q=x, *", Language::En),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
    }

    #[test]
    fn descriptions_list_what_is_included_and_then_what_is_selected() {
        let sold = |term_months| Commercial { price: 249, rounding: Rounding::Nine, term_months };
        assert_eq!(
            describe(Language::En, &sold(1), &["map", "sos_signal"]),
            "249 roubles a month for 1 month. Always included: application blocking, protection from unknown callers, time spent in \
             applications. Selected for you: more saved places on the map (10 instead of 3), SOS signal."
        );
        assert_eq!(
            describe(Language::Ru, &sold(3), &[] as &[&str]),
            "249 ₽ в месяц на 3 месяца. Всегда включено: блокировка приложений, защита от звонков с незнакомых номеров, \
             статистика времени в приложениях. Выбрано для вас: нет."
        );
    }
}
