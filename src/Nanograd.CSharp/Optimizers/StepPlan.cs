using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

/// <summary>
/// One step as a function: literals, optimizer state, rates and step counts in; new parameters, new state, losses, module
/// results, norms, gradients that somebody looked at and buffers out. It is found again by the structure of the forward part and
/// the list of what was done with it, so that the backward part is built for the first step only.
/// </summary>
internal sealed class StepPlan
{
    private const string Receiver = "Optimizer.Step()";

    private readonly Bucket[] _buckets;
    private readonly List<Node> _roots = [];
    private readonly Dictionary<object, int> _visited = new(ReferenceEqualityComparer.Instance);
    private readonly List<BackwardPass> _passes = [];
    private readonly List<GradientChange> _changes = [];
    private readonly List<Tensor> _bystanders = [];
    private readonly List<Tensor> _seen = [];
    private readonly Buffer[] _updates;
    private readonly Node[] _literals;
    private Hash _structure = Hash.Zero;

    public StepPlan(Bucket[] buckets)
    {
        _buckets = buckets;
        var stepping = new HashSet<Tensor>(ReferenceEqualityComparer.Instance);
        foreach (var bucket in buckets)
        {
            Note(bucket.RuleKey);
            Note(bucket.Slots.Length);
            foreach (var slot in bucket.Slots)
            {
                stepping.Add(slot.Parameter);
                Root(slot.Parameter.Expression);
                Visit(slot.Parameter.Source!);
                See(slot.Parameter);
            }
        }

        // Leaves of the same passes that are not stepped here: their gradients are saved before the passes are gone.
        for (var i = 0; i < _passes.Count; i++)
        {
            foreach (var leaf in _passes[i].Leaves.Select(l => l.Leaf!))
            {
                if (leaf.Source is { IsUsedUp: false } and not GivenSource && !stepping.Contains(leaf) && !_bystanders.Contains(leaf))
                {
                    Note(5);
                    _bystanders.Add(leaf);
                    Visit(leaf.Source);
                }
            }
        }

        _updates = PendingUpdates.Before(stepping.Select(p => p.Expression));
        Note(8);
        Note(_updates.Length);
        _roots.AddRange(_updates.Select(u => u.Expression));

        (var key, _literals, var variables) = Program.key([.. _roots]);
        if (variables.Length > 0)
        {
            foreach (var buffer in _updates.Where(u => u.IsOpen))
            {
                buffer.Abandon(); // a pass over variables updated it: nothing that could be computed
            }

            throw new InvalidOperationException("Step: the loss contains variables without a value.");
        }

        Key = key.Add(_structure).Add("step");
    }

    public Hash Key { get; }

    // ------------------------------------------------------------------------------------------------ describing

    public void Note(int number) => _structure = _structure.Add(number);

    public void Note(double number) => _structure = _structure.Add(BitConverter.DoubleToUInt64Bits(number));

    public void Note(string text) => _structure = _structure.Add(text);

    /// <summary>An expression over values that takes part in the step.</summary>
    public void Root(Node node) => _roots.Add(node);

    public void Visit(GradSource source) => Visit(source, source.Describe);

    /// <summary>Describes something that may be met several times: the second time, its number is enough.</summary>
    public void Visit(object thing, Action<StepPlan> describe)
    {
        if (_visited.TryGetValue(thing, out var number))
        {
            Note(-1 - number);
            return;
        }

        _visited.Add(thing, _visited.Count);
        describe(this);
    }

    public void Pass(BackwardPass pass) => _passes.Add(pass);

    public void Change(GradientChange change) => _changes.Add(change);

    private void See(Parameter parameter)
    {
        var looked = parameter.SeenGrad is { HasValue: false };
        Note(looked ? 6 : 7);
        if (looked)
        {
            _seen.Add(parameter.SeenGrad!);
        }
    }

    private IEnumerable<Tensor> Settled =>
        [.. _passes.Select(p => p.Loss), .. _passes.SelectMany(p => p.Results), .. _changes.Select(c => c.Measure).OfType<Tensor>(), .. _seen, .. _updates];

    // ------------------------------------------------------------------------------------------------ compiling

    /// <summary>The most bytes that a run holds at once, parameters, state and literals included: known before it runs.</summary>
    public long PlannedBytes
    {
        get
        {
            var held = _literals.Concat(_buckets.SelectMany(b => b.Slots).SelectMany(s => s.State).OfType<Node>());
            return Find().PeakBytes + held.Sum(n => (long)n.Count * DTypeModule.size(n.DType));
        }
    }

    public Executable Find() => Program.cached(Key, FuncConvert.FromFunc(Compile));

    private Executable Compile()
    {
        List<Node> inputs = [], results = [];
        var replacements = new Dictionary<Hash, Node>();
        var owned = new HashSet<Hash>();
        var donated = new List<bool>();
        foreach (var slot in _buckets.SelectMany(b => b.Slots))
        {
            owned.Add(slot.Parameter.Expression.Hash);
        }

        foreach (var literal in _literals)
        {
            var variable = Add("v", literal.DType, literal.Shape, owned.Contains(literal.Hash));
            replacements.Add(literal.Hash, variable);
        }

        var numbers = Add("numbers", CoreType.F64, [_buckets.Length * Bucket.Numbers], false);
        for (var b = 0; b < _buckets.Length; b++)
        {
            var bucket = _buckets[b];
            var parameters = bucket.Slots.Select(s => s.Parameter.Expression).ToArray();
            var gradients = bucket.Slots.Select(s => Elementwise.cast(s.Parameter.Expression.DType, s.Parameter.Source!.Expression)).ToArray();
            var state = StateOf(bucket, n => Add("s", n.DType, n.Shape, true));
            var step = Elementwise.cast(CoreType.I32, Number(b, 0));
            var momentum = double.IsNaN(bucket.Group.Moving) ? null : Number(b, 2);
            var update = bucket.Rule.Update(step, Number(b, 1), momentum, gradients, state, parameters);
            results.AddRange(update.Parameters);
            results.AddRange(update.State.SelectMany(slot => slot).Where(n => n is not null));
        }

        results.AddRange(_bystanders.Select(b => b.Source!.Expression));
        results.AddRange(Settled.Select(t => t.Expression));
        return Program.compile([.. inputs], Substitute.apply(replacements, [.. results]), [.. donated]);

        Node Number(int bucket, int i) => Moving.select(0, (bucket * Bucket.Numbers) + i, numbers);

        Node Add(string name, CoreType type, int[] shape, bool used)
        {
            var variable = Ops.input(name, type, shape);
            inputs.Add(variable);
            donated.Add(used);
            return variable;
        }
    }

    /// <summary>What replaces the state of a bucket: slot by slot, null where a parameter has nothing.</summary>
    private static Node?[][] StateOf(Bucket bucket, Func<Node, Node> replace) =>
        [.. bucket.Rule.Slots.Select((_, k) => bucket.Slots.Select(s => s.State[k] is { } n ? replace(n) : null).ToArray())];

    // ------------------------------------------------------------------------------------------------ running

    public void Run()
    {
        if (_literals.Any(l => Program.storage(l).IsDonated))
        {
            throw new InvalidOperationException(
                "Step: the loss depends on parameters that an earlier Step() has overwritten; compute the loss again and call Backward() on it.");
        }

        var program = Find();
        var outputs = new Queue<Storage>(Run(program));
        foreach (var bucket in _buckets)
        {
            foreach (var slot in bucket.Slots)
            {
                slot.Parameter.Adopt(Ops.literal(outputs.Dequeue(), slot.Parameter.Expression.Shape), requiresGrad: true);
                slot.Steps = bucket.Steps + 1;
            }

            for (var k = 0; k < bucket.Rule.Slots.Length; k++)
            {
                foreach (var slot in bucket.Slots)
                {
                    if (slot.State[k] is { } before)
                    {
                        slot.State[k] = Ops.literal(outputs.Dequeue(), before.Shape);
                    }
                }
            }
        }

        foreach (var leaf in _bystanders)
        {
            var gradient = new Tensor(Ops.literal(outputs.Dequeue(), leaf.Expression.Shape));
            leaf.Restart(new GivenSource(gradient));
        }

        foreach (var tensor in Settled)
        {
            tensor.Settle(outputs.Dequeue());
        }

        foreach (var slot in _buckets.SelectMany(b => b.Slots))
        {
            slot.Parameter.UseUp();
        }
    }

    private Storage[] Run(Executable program)
    {
        var moved = new Dictionary<Node, Storage>();
        var inputs = new List<Storage>();
        foreach (var slot in _buckets.SelectMany(b => b.Slots))
        {
            Move(slot.Parameter.Expression);
        }

        inputs.AddRange(_literals.Select(l => moved.TryGetValue(l, out var storage) ? storage : Program.storage(l)));
        inputs.Add(Program.storage(Creation.ofArray(CoreType.F64, [_buckets.Length * Bucket.Numbers], Numbers())));
        foreach (var bucket in _buckets)
        {
            for (var k = 0; k < bucket.Rule.Slots.Length; k++)
            {
                foreach (var slot in bucket.Slots)
                {
                    if (slot.State[k] is { } value)
                    {
                        inputs.Add(Move(value));
                    }
                }
            }
        }

        try
        {
            return program.Run([.. inputs]);
        }
        catch
        {
            // Errors are found before anything is overwritten: the parameters keep their values, and buffers theirs.
            foreach (var buffer in _updates)
            {
                buffer.Abandon();
            }

            foreach (var slot in _buckets.SelectMany(b => b.Slots))
            {
                slot.Parameter.Adopt(Back(slot.Parameter.Expression), requiresGrad: true);
                for (var k = 0; k < slot.State.Length; k++)
                {
                    slot.State[k] = slot.State[k] is { } value ? Back(value) : null;
                }
            }

            throw;
        }

        double[] Numbers()
        {
            var numbers = new double[_buckets.Length * Bucket.Numbers];
            for (var b = 0; b < _buckets.Length; b++)
            {
                var bucket = _buckets[b];
                (numbers[b * Bucket.Numbers], numbers[(b * Bucket.Numbers) + 1], numbers[(b * Bucket.Numbers) + 2]) =
                    (bucket.Steps, bucket.Group.LearningRate, bucket.Group.Moving);
            }

            return numbers;
        }

        Storage Move(Node value) => moved[value] = Program.storage(value).Donate(Receiver);

        Node Back(Node value) => moved.TryGetValue(value, out var storage) ? Ops.literal(storage, value.Shape) : value;
    }
}
