// The registry's agents, loaded once for the pages that name them.
import { calls } from '../api/calls';
import type { Agent } from '../api/types';
import { Load } from './load.svelte';

type Registry = Awaited<ReturnType<typeof calls.agents>>;

class Agents extends Load<Registry> {
  refresh(): Promise<void> {
    return this.run(() => calls.agents());
  }

  /** A tool as one of its agents has it. */
  tool(agentType: string, name: string): Agent['tools'][number] | undefined {
    return this.value?.agents.find((agent) => agent.agent_type === agentType)?.tools.find((tool) => tool.name === name);
  }

  name(agentType: string): string {
    return this.value?.agents.find((agent) => agent.agent_type === agentType)?.name ?? agentType;
  }
}

export const agents = new Agents();
