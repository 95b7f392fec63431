using System.Runtime.InteropServices;

namespace Nanograd.Cli;

/// <summary>
/// While this lives, the first Ctrl-C or SIGTERM asks the command to stop; a second one ends the process at once, and so does
/// the first while there is nothing to save yet.
/// </summary>
internal sealed class Interrupt : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly PosixSignalRegistration[] _registrations;

    public Interrupt(CancellationToken stop)
    {
        _source = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _registrations = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask)];
    }

    /// <summary>True once something was computed that stopping at once would lose.</summary>
    public bool HasWork { get; set; }

    public bool Requested => _source.IsCancellationRequested;

    private void Ask(PosixSignalContext context)
    {
        if (HasWork && !Requested)
        {
            context.Cancel = true; // the process goes on, to the end of its step
            _source.Cancel();
        }
    }

    public void Dispose()
    {
        foreach (var registration in _registrations)
        {
            registration.Dispose();
        }

        _source.Dispose();
    }
}
