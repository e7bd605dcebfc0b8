import type { VertexNode } from "./vertex-node.ts";

/**
 * A node and all that it is built from, inputs first, but those seen; with a stack of its own, since graphs may be deep.
 *
 * @param seen Takes in all that is walked.
 */
export function* walkNodes(root: VertexNode, seen: Set<VertexNode>): Generator<VertexNode, void> {
  const stack: { readonly node: VertexNode; next: number }[] = [];
  const enter = (node: VertexNode): void => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, next: 0 });
  };
  enter(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.node.inputs[top.next];
    if (input === undefined) {
      stack.pop();
      yield top.node;
      continue;
    }
    top.next += 1;
    enter(input.node);
  }
}
