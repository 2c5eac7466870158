// The demo page: a module for each of its sections.
import './nginx-counts.js';
import './channels.js';
import './publish.js';
import './terminal.js';
import './machine.js';
