// A page of many runs, for `many-streams.mjs`: those that its address names.
import './places';
import { mount } from 'svelte';
import '../../src/styles/base.css';
import Many from './Many.svelte';

mount(Many, { target: document.body, props: { ids: new URLSearchParams(location.search).getAll('run') } });
