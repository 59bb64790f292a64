import { sql } from "kysely"
import type { Kysely, Migration } from "kysely"

/** In the order of their names; a released migration is never edited. */
export const migrations: Readonly<Record<string, Migration>> = {
  "0001-first": { up: first },
  "0002-small-envelopes": { up: smallEnvelopes },
  "0003-planning": { up: planning },
  "0004-training-estimates": { up: trainingEstimates },
}

/** What planning and buffered rounds need beside the first tables. */
async function planning(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`alter table runs add column shape text`,
    sql`alter table plans add column estimate_ms integer not null default 0`,
    sql`alter table updates add column scores text not null default '{}'`,
    sql`alter table updates add column counted_round integer`,
    sql`create table contributions (
      run_id text not null, round integer not null, position integer not null, client_id text not null,
      client_name text not null, trained_round integer not null, weight real not null, hash text not null,
      primary key (run_id, round, position),
      foreign key (run_id, round) references rounds (run_id, round)) strict`,
  ]
  for (const statement of statements) await statement.execute(db)
}

/* eslint max-lines-per-function: off -- one statement per table, nothing to divide */
async function first(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table federations (
      id text primary key, coordinator_key blob not null, created_ms integer not null) strict`,
    sql`create table clients (
      id text primary key, public_key blob not null, name text not null, capability text not null,
      first_seen_ms integer not null, last_seen_ms integer not null) strict`,
    sql`create table bases (hash text primary key, folder text not null, manifest blob not null) strict`,
    sql`create table base_files (
      base_hash text not null references bases (hash), path text not null, hash text not null, bytes integer not null,
      primary key (base_hash, path)) strict`,
    sql`create index base_files_hash on base_files (hash)`,
    sql`create table runs (
      id text primary key, name text not null, recipe text not null, recipe_hash text not null,
      base_hash text not null references bases (hash), modules text not null, state text not null, reason text,
      global_adapter_hash text, created_ms integer not null, ended_ms integer) strict`,
    sql`create table rounds (
      run_id text not null references runs (id), round integer not null, state text not null, header blob not null,
      header_hash text not null unique, header_signature blob not null, recipient_secret blob, terms text not null,
      cohort integer not null, accepted integer not null default 0, rejected integer not null default 0,
      adapter_hash text, report text, reason text,
      opened_ms integer not null, ended_ms integer, primary key (run_id, round)) strict`,
    sql`create table plans (
      run_id text not null, round integer not null, client_id text not null references clients (id),
      client_name text not null, plan blob not null, signature blob not null,
      primary key (run_id, round, client_id),
      foreign key (run_id, round) references rounds (run_id, round)) strict`,
    sql`create table uploads (
      id text primary key, run_id text not null, round integer not null, client_id text not null, header blob not null,
      signature blob not null, leaves blob not null, envelope_root text not null unique,
      envelope_bytes integer not null, opened_ms integer not null, unique (run_id, round, client_id),
      foreign key (run_id, round, client_id) references plans (run_id, round, client_id)) strict`,
    sql`create table updates (
      run_id text not null, round integer not null, client_id text not null, envelope_root text not null unique,
      sequence integer not null unique, status text not null, code integer not null, weight integer not null,
      metrics text not null, envelope_bytes integer not null, at_ms integer not null,
      primary key (run_id, round, client_id),
      foreign key (run_id, round, client_id) references plans (run_id, round, client_id)) strict`,
    sql`create table events (
      run_id text not null, round integer not null, seq integer not null, event text not null, at_ms integer not null,
      primary key (run_id, round, seq), foreign key (run_id, round) references rounds (run_id, round)) strict`,
    sql`create table adapters (
      run_id text not null, round integer not null, hash text not null, bytes integer not null,
      primary key (run_id, round),
      foreign key (run_id, round) references rounds (run_id, round)) strict`,
    sql`create index adapters_hash on adapters (hash)`,
  ]
  for (const statement of statements) await statement.execute(db)
}

/** Envelopes too small for a file of their own, while their round needs them. */
async function smallEnvelopes(db: Kysely<unknown>): Promise<void> {
  await sql`create table envelopes (upload_id text primary key, bytes blob not null) strict, without rowid`.execute(db)
}

/** Of an estimate, the part that measured rounds correct. */
async function trainingEstimates(db: Kysely<unknown>): Promise<void> {
  await sql`alter table plans add column train_ms integer not null default 0`.execute(db)
}
