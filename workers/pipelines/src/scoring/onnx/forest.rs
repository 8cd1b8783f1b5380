//! Regression trees laid out for speed: what a `TreeEnsembleRegressor` of an ONNX file computes.
//!
//! Both children of a node stand side by side and a leaf leads to itself, so that a step down a tree is an addition and no branch, and
//! eight rows go down a tree together. Sums are of single precision, in the order of the trees, whatever the batches.
//! Features must not be NaN. Memory: 16 bytes for each node.

/// Rows that go down a tree together.
const LANES: usize = 8;

/// One node as a file describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// Goes on with the first child where the feature is at most the threshold, else with the second.
    Branch {
        /// The column of the feature.
        feature: u32,
        /// The threshold.
        threshold: f32,
        /// The child for values up to the threshold, by place in the tree.
        low: usize,
        /// The child for greater values.
        high: usize,
    },
    /// The end: what it adds to the tree's target.
    Leaf(f32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    threshold: f32,
    feature: u32,
    /// The child for low values; that for high ones comes next.
    low: u32,
    /// What a leaf adds.
    value: f32,
}

#[derive(Clone, Debug, PartialEq)]
struct Tree {
    target: usize,
    /// Steps from the root to the deepest leaf.
    depth: u32,
    steps: Vec<Step>,
}

/// All trees of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    base: Vec<f32>,
    /// Features that a row must have.
    width: usize,
    trees: Vec<Tree>,
}

impl Forest {
    /// A forest without trees: it gives the base of each target.
    pub fn new(base: Vec<f32>) -> Self {
        Self { base, width: 1, trees: Vec::new() }
    }

    /// Adds a tree of a target, its root first.
    ///
    /// # Errors
    /// What is wrong with it: a child that is not there or has two parents, a target that is not there.
    pub fn add(&mut self, target: usize, nodes: &[Node]) -> Result<(), String> {
        if target >= self.base.len() {
            return Err(format!("target {target} of {}", self.base.len()));
        }
        let mut steps = Vec::with_capacity(nodes.len());
        let mut seen = vec![false; nodes.len()];
        // Level by level, so that the children of a node can be given places beside each other.
        let mut level = vec![0];
        let mut depth = 0;
        while !level.is_empty() {
            let mut below = Vec::new();
            let first_below = steps.len() + level.len();
            for place in level {
                let node = nodes.get(place).ok_or_else(|| format!("node {place} is not there"))?;
                if std::mem::replace(&mut seen[place], true) {
                    return Err(format!("node {place} has two parents"));
                }
                steps.push(match *node {
                    Node::Branch { feature, threshold, low, high } => {
                        let first = small(first_below + below.len())?;
                        below.extend([low, high]);
                        self.width = self.width.max(feature as usize + 1);
                        Step { threshold, feature, low: first, value: 0.0 }
                    }
                    Node::Leaf(value) => Step { threshold: f32::INFINITY, feature: 0, low: small(steps.len())?, value },
                });
            }
            depth += u32::from(!below.is_empty());
            level = below;
        }
        self.trees.push(Tree { target, depth, steps });
        // One target after the other; a stable sort keeps the order of the trees, and so the sums.
        self.trees.sort_by_key(|tree| tree.target);
        Ok(())
    }

    /// How many results a row has.
    pub fn targets(&self) -> usize {
        self.base.len()
    }

    /// How many features a row must have at least.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Computes rows of `width` features each, one after the other: as many rows of results.
    ///
    /// # Panics
    /// When a row has fewer features than [`Self::width`].
    pub fn predict(&self, features: &[f32], width: usize) -> Vec<f32> {
        assert!(width >= self.width, "rows of {width} features, {} are needed", self.width);
        let targets = self.base.len();
        let mut results = Vec::with_capacity(features.len() / width * targets);
        for rows in features.chunks(LANES * width) {
            let mut sums: [&[f32]; LANES] = [&rows[..width]; LANES];
            // Lanes without a row of their own repeat the first.
            for (lane, row) in sums.iter_mut().zip(rows.chunks_exact(width)) {
                *lane = row;
            }
            let from = results.len();
            results.extend(std::iter::repeat_n(&self.base, rows.len() / width).flatten());
            self.add_trees(&sums, &mut results[from..]);
        }
        results
    }

    fn add_trees(&self, rows: &[&[f32]; LANES], results: &mut [f32]) {
        let targets = self.base.len();
        for trees in self.trees.chunk_by(|one, next| one.target == next.target) {
            let mut sums = [0.0; LANES];
            for tree in trees {
                let steps = tree.steps.as_slice();
                let mut at = [0_u32; LANES];
                for _ in 0..tree.depth {
                    for (at, row) in at.iter_mut().zip(rows) {
                        let step = &steps[*at as usize];
                        *at = step.low + u32::from(row[step.feature as usize] > step.threshold);
                    }
                }
                for (sum, at) in sums.iter_mut().zip(at) {
                    *sum += steps[at as usize].value;
                }
            }
            for (result, sum) in results.chunks_exact_mut(targets).zip(sums) {
                result[trees[0].target] += sum;
            }
        }
    }
}

fn small(place: usize) -> Result<u32, String> {
    u32::try_from(place).map_err(|_| "a tree is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Forest, Node};

    const STUMP: [Node; 3] =
        [Node::Branch { feature: 1, threshold: 0.5, low: 2, high: 1 }, Node::Leaf(10.0), Node::Leaf(1.0)];

    #[test]
    fn values_up_to_the_threshold_are_low_in_any_number_of_rows() {
        let mut forest = Forest::new(vec![100.0, 200.0]);
        forest.add(1, &STUMP).unwrap();
        forest.add(0, &[Node::Leaf(-1.0)]).unwrap();
        forest.add(1, &STUMP).unwrap();
        assert_eq!((forest.width(), forest.targets()), (2, 2));
        for rows in 0..20 {
            let features: Vec<f32> = (0..rows).flat_map(|row| [9.0, if row % 2 == 0 { 0.5 } else { 0.6 }]).collect();
            let expected: Vec<f32> =
                (0..rows).flat_map(|row| [99.0, if row % 2 == 0 { 202.0 } else { 220.0 }]).collect();
            assert_eq!(forest.predict(&features, 2), expected);
        }
    }

    #[test]
    fn leaves_above_the_deepest_one_keep_their_rows() {
        let mut forest = Forest::new(vec![0.0]);
        let second = Node::Branch { feature: 0, threshold: 2.0, low: 3, high: 4 };
        let first = Node::Branch { feature: 0, threshold: 1.0, low: 1, high: 2 };
        forest.add(0, &[first, Node::Leaf(1.0), second, Node::Leaf(2.0), Node::Leaf(3.0)]).unwrap();
        assert_eq!(forest.predict(&[0.0, 1.5, 9.0], 1), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn broken_trees_are_refused() {
        let mut forest = Forest::new(vec![0.0]);
        let error = |forest: &mut Forest, target, nodes: &[Node]| forest.add(target, nodes).unwrap_err();
        assert!(error(&mut forest, 1, &STUMP).contains("target 1"));
        assert!(error(&mut forest, 0, &STUMP[..2]).contains("not there"));
        let circle = Node::Branch { feature: 0, threshold: 0.0, low: 0, high: 0 };
        assert!(error(&mut forest, 0, &[circle]).contains("two parents"));
        assert!(error(&mut forest, 0, &[]).contains("not there"));
    }
}
