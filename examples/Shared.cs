using System.Diagnostics.CodeAnalysis;

namespace Nanograd.Examples;

/// <summary>Data that lies beside the repository, in a folder shared/data of one of the folders above it.</summary>
internal static class Shared
{
    /// <summary>The file or folder of a name; false, with a sentence for the user, if it is not there.</summary>
    public static bool Find(string name, [NotNullWhen(true)] out string? path)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            path = Path.Combine(folder.FullName, "shared", "data", name);
            if (Path.Exists(path))
            {
                return true;
            }
        }

        Console.WriteLine($"There is no shared/data/{name} in a folder above {AppContext.BaseDirectory}: nothing to learn from.");
        path = null;
        return false;
    }
}
