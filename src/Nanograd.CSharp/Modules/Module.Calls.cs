namespace Nanograd.CSharp;

public abstract partial class Module
{
    [ThreadStatic]
    private static List<ModuleCall>? _calls;

    private List<Func<Module, Tensor, Tensor, Tensor?>>? _hooks;

    /// <summary>
    /// Calls a function after each <see cref="Forward"/>, with the module, its input and its output. What it gives takes the place of
    /// the output, unless it is null. Disposing of the result takes the function away.
    /// </summary>
    /// <remarks>Modules of one's own take part if their Forward ends with <c>return Called(input, output)</c>.</remarks>
    public IDisposable RegisterForwardHook(Func<Module, Tensor, Tensor, Tensor?> hook)
    {
        (_hooks ??= []).Add(hook);
        return new Removal(() => _hooks.Remove(hook));
    }

    /// <summary>
    /// What a Forward ends with: runs the hooks, tells the summary of the call, and makes the result one that
    /// <see cref="Optimizer.Step()"/> computes along with the loss.
    /// </summary>
    protected Tensor Called(Tensor input, Tensor output)
    {
        _reparametrizations?.ForEach(r => r.Commit());
        foreach (var hook in _hooks?.ToArray() ?? [])
        {
            output = hook(this, input, output) ?? output;
        }

        _calls?.Add(new(this, [.. input.Shape], [.. output.Shape]));
        return output.Kept();
    }

    /// <summary>The calls of modules while an action runs, in the order in which they end.</summary>
    private static List<ModuleCall> Recorded(Action action)
    {
        var outer = _calls;
        var calls = _calls = [];
        try
        {
            action();
        }
        finally
        {
            _calls = outer;
        }

        return calls;
    }

    private sealed record ModuleCall(Module Module, int[] Input, int[] Output);

    private sealed class Removal(Action action) : IDisposable
    {
        public void Dispose() => action();
    }
}
