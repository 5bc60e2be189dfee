//! Goals, as rules over our figure, the rivals' figures and the intervals between blocks.

use std::collections::BTreeMap;

/// What a figure is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Nothing: it is only shown.
    Shown,
    /// At most what this rival has, plus so much.
    Near { rival: &'static str, plus: f64 },
    /// Every rival takes this many times as long, and the blocks' differences leave no doubt that we are ahead.
    Ahead { factor: f64 },
    /// At most this, and the blocks' differences do not show us behind anybody.
    Within { limit: f64 },
}

/// The figures of a row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Our figure.
    pub(crate) ours: Option<f64>,
    /// The rivals' figures.
    pub(crate) rivals: BTreeMap<&'static str, Option<f64>>,
    /// The 90 % intervals of `ours - rival` over blocks.
    pub(crate) intervals: BTreeMap<&'static str, Option<(f64, f64)>>,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    /// What our figure had to be at most, where that is known.
    pub(crate) goal: Option<f64>,
    /// Why the goal is missed; empty = it is met.
    pub(crate) why: Vec<String>,
}

impl Rule {
    /// The rule in words.
    pub(crate) fn words(self) -> Option<String> {
        match self {
            Self::Shown => None,
            Self::Near { rival, plus } => Some(format!("at most {rival} + {plus}")),
            Self::Ahead { factor } if factor > 1.0 => {
                Some(format!("every rival at least {factor} times as long, and ahead"))
            }
            Self::Ahead { .. } => {
                Some("ahead: the 90 % interval of the block differences lies below zero".to_owned())
            }
            Self::Within { limit } => Some(format!("at most {limit}, and not behind any rival")),
        }
    }

    /// Judges figures. Whatever the rule, a figure that is missing fails it.
    pub(crate) fn judge(self, figures: &Figures) -> Verdict {
        let mut why = Vec::new();
        if figures.ours.is_none() {
            why.push("we give no figure".to_owned());
        }
        for (rival, figure) in &figures.rivals {
            if figure.is_none() {
                why.push(format!("{rival} gives no figure"));
            }
        }
        let goal = self.goal(figures);
        if let (Some(goal), Some(ours)) = (goal, figures.ours)
            && ours > goal
        {
            why.push(format!("{ours:.2} is more than {goal:.2}"));
        }
        for (rival, interval) in &figures.intervals {
            why.extend(self.doubt(rival, *interval));
        }
        Verdict { goal, why }
    }

    fn goal(self, figures: &Figures) -> Option<f64> {
        match self {
            Self::Shown => None,
            Self::Near { rival, plus } => {
                figures.rivals.get(rival).copied().flatten().map(|figure| figure + plus)
            }
            Self::Ahead { factor } => {
                figures.rivals.values().flatten().copied().reduce(f64::min).map(|best| best / factor)
            }
            Self::Within { limit } => Some(limit),
        }
    }

    /// What the block differences to one rival say against us.
    fn doubt(self, rival: &str, interval: Option<(f64, f64)>) -> Option<String> {
        match (self, interval) {
            (Self::Ahead { .. }, None) => Some(format!("too few blocks to say who is ahead, we or {rival}")),
            (Self::Ahead { .. }, Some((low, high))) if high >= 0.0 => {
                Some(format!("not surely ahead of {rival}: {low:.2} to {high:.2}"))
            }
            (Self::Within { .. }, Some((low, high))) if low > 0.0 => {
                Some(format!("behind {rival}: {low:.2} to {high:.2}"))
            }
            (Self::Shown | Self::Near { .. } | Self::Ahead { .. } | Self::Within { .. }, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ours: f64, rivals: &[(&'static str, f64)], interval: (f64, f64)) -> Figures {
        Figures {
            ours: Some(ours),
            rivals: rivals.iter().map(|&(name, figure)| (name, Some(figure))).collect(),
            intervals: rivals.iter().map(|&(name, _)| (name, Some(interval))).collect(),
        }
    }

    fn met(rule: Rule, figures: &Figures) -> bool {
        rule.judge(figures).why.is_empty()
    }

    #[test]
    fn lead_must_be_large_and_sure() {
        let rule = Rule::Ahead { factor: 1.7 };
        let rivals = [("a", 17.0), ("b", 30.0)];
        assert_eq!(
            rule.judge(&figures(10.0, &rivals, (-9.0, -5.0))),
            Verdict { goal: Some(10.0), why: vec![] }
        );
        assert!(!met(rule, &figures(10.1, &rivals, (-9.0, -5.0))), "too small");
        assert!(!met(rule, &figures(9.0, &rivals, (-9.0, 0.1))), "not sure");
    }

    #[test]
    fn nearness_looks_at_one_rival() {
        let rule = Rule::Near { rival: "a", plus: 2.0 };
        let rivals = [("a", 8.0), ("b", 1.0)];
        assert!(met(rule, &figures(10.0, &rivals, (1.0, 3.0))));
        assert!(!met(rule, &figures(10.1, &rivals, (1.0, 3.0))));
    }

    #[test]
    fn limit_holds_unless_surely_behind() {
        let rule = Rule::Within { limit: 0.6 };
        assert!(met(rule, &figures(0.6, &[("a", 0.5)], (-0.1, 0.2))));
        assert!(!met(rule, &figures(0.5, &[("a", 0.4)], (0.05, 0.2))), "behind");
        assert!(!met(rule, &figures(0.7, &[("a", 0.9)], (-0.3, -0.1))), "over the limit");
    }

    #[test]
    fn missing_figure_fails_every_rule() {
        for rule in [Rule::Shown, Rule::Near { rival: "a", plus: 2.0 }, Rule::Ahead { factor: 1.0 }] {
            let mut some = figures(1.0, &[("a", 9.0), ("b", 9.0)], (-9.0, -8.0));
            assert!(met(rule, &some));
            some.rivals.insert("b", None);
            assert!(!met(rule, &some), "{rule:?}");
            assert!(!met(rule, &Figures { ours: None, ..some }), "{rule:?}");
        }
    }
}
