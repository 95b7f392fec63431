using NUnit.Framework;

namespace Nanograd.Cli.Tests;

internal sealed class PlaceholderTests
{
    [Test]
    public void TheTestProjectRuns() => Assert.That(1 + 1, Is.EqualTo(2));
}
