"""Print the graph of imports between the files and folders of a folder: `python tests/import_graph.py [lnet.runtime]`.

An edge that follows from others is left out, and what stands on nothing comes last.
"""

import sys

import networkx
from test_law import folder_graph, import_graph


def main(folder="lnet"):
    graph = networkx.transitive_reduction(folder_graph(import_graph(), folder))
    levels = list(networkx.topological_generations(graph))
    for level in levels:
        for name in sorted(level):
            print(f"{name:16} {' '.join(sorted(graph[name]))}".rstrip())
    print(f"{len(graph)} files and folders, {len(graph.edges)} imports, {len(levels)} levels")


if __name__ == "__main__":
    main(*sys.argv[1:])
