// Names for the generated types that the console uses.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Agent = Schemas['Agent'];
export type Approval = Schemas['Approval'];
export type AuditEntry = Schemas['AuditEntry'];
export type AuditHead = Schemas['AuditHead'];
export type Decision = Schemas['Decision'];
export type Event = Schemas['Event'];
export type Failure = Schemas['RunError'];
export type Grant = Schemas['Grant'];
export type GrantedCall = Schemas['GrantedCall'];
export type Key = Schemas['Key'];
export type LateAnswer = Schemas['LateAnswer'];
export type Lane = Schemas['Lane'];
export type LaneStatus = Schemas['LaneStatus'];
export type Message = Schemas['Message'];
export type Remember = Schemas['Remember'];
export type Role = Schemas['Role'];
export type Run = Schemas['Run'];
export type RunBrief = Schemas['RunBrief'];
export type RunDetail = Schemas['RunDetail'];
export type RunStatus = Schemas['RunStatus'];
export type SessionBrief = Schemas['SessionBrief'];
export type Step = Schemas['Step'];
export type Thread = Schemas['Thread'];
export type ThreadDetail = Schemas['ThreadDetail'];
export type UsagePoint = Schemas['Point'];
export type UsageReport = Schemas['UsageReport'];
export type Usage = Schemas['Usage'];
export type Whoami = Schemas['Whoami'];
