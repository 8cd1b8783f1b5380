//! The operator `TreeEnsembleRegressor` of `ai.onnx.ml`, which tract does not have: read from a graph's node, run by our [`Forest`].

use std::sync::Arc;

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::forest::{Forest, Node};

const NAME: &str = "TreeEnsembleRegressor";

/// Adds the operator to those that tract knows.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert(NAME, parse);
}

fn parse(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(TreeEnsembleRegressor(Arc::new(forest(node)?))), Vec::new()))
}

fn forest(node: &NodeProto) -> TractResult<Forest> {
    for (name, only) in [("aggregate_function", "SUM"), ("post_transform", "NONE")] {
        let given = node.get_attr_opt::<&str>(name)?.unwrap_or(only);
        if given != only {
            bail!("{NAME} with {name} {given} is not supported, only {only}");
        }
    }
    let targets: usize = node.get_attr("n_targets")?;
    let base = node.get_attr_opt_vec::<f32>("base_values")?.filter(|base| !base.is_empty());
    let base = base.unwrap_or_else(|| vec![0.0; targets]);
    if base.len() != targets {
        bail!("{NAME} has {} base values for {targets} targets", base.len());
    }
    let nodes = Nodes::of(node)?;
    let weights = Weights::of(node)?;
    let mut forest = Forest::new(base);
    let mut leaves = 0;
    for own in nodes.tree_ids.chunk_by(|one, next| one == next).scan(0, |from, tree| {
        let range = *from..*from + tree.len();
        *from = range.end;
        Some(range)
    }) {
        let tree = nodes.tree_ids[own.start];
        let count = weights.tree_ids[leaves..].iter().take_while(|id| **id == tree).count();
        let weights = weights.slice(leaves..leaves + count);
        leaves += count;
        let mut own_targets = weights.targets.to_vec();
        own_targets.sort_unstable();
        own_targets.dedup();
        for target in own_targets {
            let tree_nodes = nodes.tree(own.clone(), &weights, target)?;
            forest.add(target, &tree_nodes).map_err(|detail| format_err!("tree {tree}: {detail}"))?;
        }
    }
    if leaves != weights.tree_ids.len() {
        bail!("{NAME}: the trees of the leaves are in another order than those of the nodes");
    }
    Ok(forest)
}

/// The attributes of the nodes, one value for each.
struct Nodes<'a> {
    tree_ids: Vec<usize>,
    node_ids: Vec<usize>,
    features: Vec<usize>,
    thresholds: Vec<f32>,
    modes: Vec<&'a str>,
    yes: Vec<usize>,
    no: Vec<usize>,
}

impl<'a> Nodes<'a> {
    fn of(node: &'a NodeProto) -> TractResult<Self> {
        let nodes = Self {
            tree_ids: node.get_attr_vec("nodes_treeids")?,
            node_ids: node.get_attr_vec("nodes_nodeids")?,
            features: node.get_attr_vec("nodes_featureids")?,
            thresholds: node.get_attr_vec("nodes_values")?,
            modes: node.get_attr_vec("nodes_modes")?,
            yes: node.get_attr_vec("nodes_truenodeids")?,
            no: node.get_attr_vec("nodes_falsenodeids")?,
        };
        let lengths = [nodes.node_ids.len(), nodes.features.len(), nodes.thresholds.len(), nodes.modes.len()];
        if lengths.iter().chain(&[nodes.yes.len(), nodes.no.len()]).any(|length| *length != nodes.tree_ids.len()) {
            bail!("{NAME}: the attributes of its nodes have different lengths");
        }
        Ok(nodes)
    }

    /// The nodes of one tree, as they are for one target.
    fn tree(&self, own: std::ops::Range<usize>, weights: &WeightSlice<'_>, target: usize) -> TractResult<Vec<Node>> {
        let tree = self.tree_ids[own.start];
        own.clone()
            .enumerate()
            .map(|(place, at)| {
                if self.node_ids[at] != place {
                    bail!("{NAME}: the nodes of tree {tree} are not numbered in order");
                }
                let branch = |threshold: f32, low: usize, high: usize| {
                    let feature = u32::try_from(self.features[at]).context("the number of a feature")?;
                    if threshold.is_nan() {
                        bail!("{NAME}: a threshold of tree {tree} is no number");
                    }
                    Ok(Node::Branch { feature, threshold, low, high })
                };
                let (threshold, yes, no) = (self.thresholds[at], self.yes[at], self.no[at]);
                match self.modes[at] {
                    "LEAF" => Ok(Node::Leaf(weights.of(place, target))),
                    "BRANCH_LEQ" => branch(threshold, yes, no),
                    "BRANCH_GT" => branch(threshold, no, yes),
                    // Below a number is at most the number before it.
                    "BRANCH_LT" => branch(threshold.next_down(), yes, no),
                    "BRANCH_GTE" => branch(threshold.next_down(), no, yes),
                    mode => bail!("{NAME}: nodes of mode {mode} are not supported"),
                }
            })
            .collect()
    }
}

/// The attributes of the leaves' weights, one value for each.
struct Weights {
    tree_ids: Vec<usize>,
    node_ids: Vec<usize>,
    targets: Vec<usize>,
    values: Vec<f32>,
}

/// Those of one tree.
struct WeightSlice<'a> {
    node_ids: &'a [usize],
    targets: &'a [usize],
    values: &'a [f32],
}

impl Weights {
    fn of(node: &NodeProto) -> TractResult<Self> {
        let weights = Self {
            tree_ids: node.get_attr_vec("target_treeids")?,
            node_ids: node.get_attr_vec("target_nodeids")?,
            targets: node.get_attr_vec("target_ids")?,
            values: node.get_attr_vec("target_weights")?,
        };
        let lengths = [weights.node_ids.len(), weights.targets.len(), weights.values.len()];
        if lengths.iter().any(|length| *length != weights.tree_ids.len()) {
            bail!("{NAME}: the attributes of its leaves have different lengths");
        }
        Ok(weights)
    }

    fn slice(&self, own: std::ops::Range<usize>) -> WeightSlice<'_> {
        WeightSlice {
            node_ids: &self.node_ids[own.clone()],
            targets: &self.targets[own.clone()],
            values: &self.values[own],
        }
    }
}

impl WeightSlice<'_> {
    fn of(&self, node: usize, target: usize) -> f32 {
        let weights = self.node_ids.iter().zip(self.targets).zip(self.values);
        weights.filter(|((id, own), _)| **id == node && **own == target).map(|(_, value)| value).sum()
    }
}

#[derive(Clone, Debug)]
struct TreeEnsembleRegressor(Arc<Forest>);

impl PartialEq for TreeEnsembleRegressor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TreeEnsembleRegressor {}

impl Expansion for TreeEnsembleRegressor {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, DatumType::F32)?;
        solver.equals(&outputs[0].datum_type, DatumType::F32)?;
        solver.equals(&inputs[0].rank, 2)?;
        solver.equals(&outputs[0].rank, 2)?;
        solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        solver.equals(&outputs[0].shape[1], self.0.targets().to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for TreeEnsembleRegressor {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for TreeEnsembleRegressor {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [input] = inputs.as_slice() else { bail!("{NAME} takes one input") };
        let [rows, width] = *input.shape() else { bail!("{NAME} takes rows of features") };
        if width < self.0.width() {
            bail!("{NAME}: rows have {width} features, {} are needed", self.0.width());
        }
        let results = self.0.predict(input.try_as_plain_ram()?.as_slice::<f32>()?, width);
        Ok(tvec!(Tensor::from_shape(&[rows, self.0.targets()], &results)?.into_tvalue()))
    }
}

impl TypedOp for TreeEnsembleRegressor {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact([inputs[0].shape[0].clone(), self.0.targets().to_dim()])))
    }

    as_op!();
}
