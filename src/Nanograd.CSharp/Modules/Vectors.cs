namespace Nanograd.CSharp;

public static partial class Utils
{
    /// <summary>All elements of parameters, one after another: [n].</summary>
    public static Tensor ParametersToVector(IEnumerable<Parameter> parameters) => Tensor.Cat(parameters.Select(p => p.Reshape(-1)));

    /// <summary>Puts the elements of a vector, as <see cref="ParametersToVector"/> gives it, into parameters.</summary>
    /// <exception cref="ArgumentException">There are not as many elements.</exception>
    public static void VectorToParameters(Tensor vector, IEnumerable<Parameter> parameters)
    {
        Parameter[] all = [.. parameters];
        if (vector.Rank != 1 || vector.Count != all.Sum(p => p.Count))
        {
            throw new ArgumentException($"VectorToParameters: the vector must be [{all.Sum(p => p.Count)}], got {Nanograd.Shape.describe(vector.Expression)}.");
        }

        var start = 0;
        foreach (var parameter in all)
        {
            parameter.Set(vector[start..(start + parameter.Count)].Reshape([.. parameter.Shape]));
            start += parameter.Count;
        }
    }
}
